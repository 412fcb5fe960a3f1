-- Goes on after an event that the writer has appended itself: the numbers are known, and
-- the log need not be asked. Where somebody else has written since, the stream refuses
-- the number, and `append.lua` finds out why.
--
-- KEYS[1]  the job's stream, and the channel of the same name
-- ARGV[1]  the attempt and a dash, ARGV[2] the number of the first event
-- ARGV[3]  entries that are kept, ARGV[4] seconds that the log is kept
-- ARGV[5]  PUBLISH or SPUBLISH, ARGV[6] how the announcement begins
-- ARGV[7]  1 if the last of the events is terminal
-- ARGV[8]… the events, as JSON
--
-- Gives 1, or 0 if nothing was done.
local key, call = KEYS[1], redis.call
local last, ended = #ARGV, ARGV[7] == '1'
local done
if ended and last == 8 then
  done = redis.pcall('XADD', key, 'MAXLEN', '~', ARGV[3], ARGV[1] .. ARGV[2], 'e', ARGV[8], 't', '1')
else
  done = redis.pcall('XADD', key, 'MAXLEN', '~', ARGV[3], ARGV[1] .. ARGV[2], 'e', ARGV[8])
end
if type(done) == 'table' then
  if string.find(done.err, 'equal or smaller', 1, true) then return 0 end
  return done
end
for n = 9, last do
  local number = string.format('%s%.0f', ARGV[1], ARGV[2] + n - 8)
  if ended and n == last then
    call('XADD', key, 'MAXLEN', '~', ARGV[3], number, 'e', ARGV[n], 't', '1')
  else
    call('XADD', key, 'MAXLEN', '~', ARGV[3], number, 'e', ARGV[n])
  end
end
call('EXPIRE', key, ARGV[4])
if string.sub(ARGV[6], -1) ~= '\n' then
  call(ARGV[5], key, ARGV[6])
elseif last == 8 then
  call(ARGV[5], key, ARGV[6] .. ARGV[8])
else
  call(ARGV[5], key, ARGV[6] .. table.concat(ARGV, '\n', 8, last))
end
return 1
