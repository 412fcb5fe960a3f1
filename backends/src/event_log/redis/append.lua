-- Numbers the events of an attempt, logs them and tells the watchers, in one step.
--
-- KEYS[1]  the job's stream, and the channel of the same name
-- ARGV[1]  the attempt
-- ARGV[2], ARGV[3]  the last number that the writer knows to be given, in the log or
--          lost on the way; attempt -1 where it knows of none
-- ARGV[4]  entries that are kept, about
-- ARGV[5]  seconds that the log is kept after its last event
-- ARGV[6]  PUBLISH or SPUBLISH
-- ARGV[7]  1 if the last of the events is terminal
-- ARGV[8]  bytes of events that may travel with the announcement
-- ARGV[9]  1 if the events begin a try
-- ARGV[10], ARGV[11]  of the first so many events it is not known whether they were
--          appended before, after this number within the attempt
-- ARGV[12]… the events, as JSON
--
-- An entry is `e` with the event; `p` with the number before it where that is not the
-- one below its own; and at the end `t` on the terminal event.
--
-- After the terminal event, a later attempt that begins is a replay: the log is emptied to
-- the `queued` of the job's beginning and goes on with it.
--
-- Gives the last number within the attempt, or -1 (a later attempt has written), or
-- -2 (the job has ended).
local key = KEYS[1]
local attempt = tonumber(ARGV[1])
local known_attempt, known_seq = tonumber(ARGV[2]), tonumber(ARGV[3])
local first, last = 12, #ARGV

local function id(a, s)
  return string.format('%.0f-%.0f', a, s)
end

local at_attempt, at_seq
local tail = redis.call('XREVRANGE', key, '+', '-', 'COUNT', 1)[1]
if tail then
  local fields = tail[2]
  local a, s = string.match(tail[1], '^(%d+)-(%d+)$')
  at_attempt, at_seq = tonumber(a), tonumber(s)
  if fields[#fields - 1] == 't' then
    if not (ARGV[9] == '1' and attempt > at_attempt) then return -2 end
    redis.call('DEL', key)
    redis.call('XADD', key, '0-1', 'e', '{"kind":"queued"}')
    at_attempt, at_seq = 0, 1
    known_attempt = -1
  elseif attempt == 0 then
    return -1
  end
end
-- What was appended before, and only the answer was lost, is not appended again.
if at_attempt == attempt then
  local maybe, number = tonumber(ARGV[10]), tonumber(ARGV[11]) + 1
  while maybe > 0 and number <= at_seq do
    local there = redis.call('XRANGE', key, id(attempt, number), id(attempt, number))[1]
    if not there or there[2][2] ~= ARGV[first] then break end
    first, number, maybe = first + 1, number + 1, maybe - 1
  end
end
-- What the log has lost (it was restored, or flushed, or never reached) is not numbered
-- again: somebody may have seen it.
if known_attempt >= 0 and (at_attempt == nil or known_attempt > at_attempt
    or (known_attempt == at_attempt and known_seq > at_seq)) then
  at_attempt, at_seq = known_attempt, known_seq
end
if at_attempt and attempt < at_attempt then return -1 end

local seq, before = 0, ''
if at_attempt then
  before = id(at_attempt, at_seq)
  if at_attempt == attempt then seq = at_seq end
elseif attempt > 0 then
  -- A log that begins in mid-job: its numbers stand above all that were forgotten.
  local now = redis.call('TIME')
  seq = tonumber(now[1]) * 1000000 + tonumber(now[2])
  before = id(attempt, seq)
end
if last < first then return seq end

local bytes = 0
local previous = before
for n = first, last do
  seq = seq + 1
  local number = id(attempt, seq)
  local event = ARGV[n]
  bytes = bytes + #event
  local terminal = n == last and ARGV[7] == '1'
  local jump = seq == 1 and previous ~= ''
  if jump and terminal then
    redis.call('XADD', key, 'MAXLEN', '~', ARGV[4], number, 'e', event, 'p', previous, 't', '1')
  elseif jump then
    redis.call('XADD', key, 'MAXLEN', '~', ARGV[4], number, 'e', event, 'p', previous)
  elseif terminal then
    redis.call('XADD', key, 'MAXLEN', '~', ARGV[4], number, 'e', event, 't', '1')
  else
    redis.call('XADD', key, 'MAXLEN', '~', ARGV[4], number, 'e', event)
  end
  previous = number
end
redis.call('EXPIRE', key, ARGV[5])

local announcement = before .. ' ' .. id(attempt, seq - (last - first))
if bytes <= tonumber(ARGV[8]) then
  announcement = announcement .. '\n' .. table.concat(ARGV, '\n', first, last)
end
redis.call(ARGV[6], key, announcement)
return seq
