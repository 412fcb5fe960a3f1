-- The limits of a provider's key, as `bucket.rs` counts them in memory.
--
-- KEYS[1]  a hash: `r` and `t` are the moments at which the buckets of requests and tokens
--          are full again, `c` the one before which nothing is sent; microseconds
-- ARGV[1]  what is done: reserve, settle, correct
-- ARGV[2]  now
-- ARGV[3]  what one request costs, ARGV[4] what one token costs, in microseconds times
--          1,000; 0 where it is not counted
-- ARGV[5]  and [6]  reserve: tokens. settle: tokens reserved, tokens taken. correct:
--          requests and tokens left, -1 where that is not told
-- ARGV[7]  correct: the moment before which nothing is to be sent; 0 where that is not told
--
-- Gives the microseconds to wait; 0 where admitted.
local now = tonumber(ARGV[2])
local cost = { r = tonumber(ARGV[3]) / 1000, t = tonumber(ARGV[4]) / 1000 }
local MINUTE = 60000000
local kept = redis.call('HMGET', KEYS[1], 'r', 't', 'c')

-- After a step back of the clock a bucket owes at most what it holds. That is written even
-- where nothing is taken, or it would owe the same at every later call.
local stepped_back = false
local function bounded(value, most)
  local full = math.max(tonumber(value or 0), now)
  if full > now + most then stepped_back = true end
  return math.min(full, now + most)
end
-- One large call may owe more than a minute; an hour of debt is a clock that stepped back.
local full = { r = bounded(kept[1], MINUTE), t = bounded(kept[2], 60 * MINUTE) }
local closed = tonumber(kept[3] or 0)
if closed > now + 60 * MINUTE then closed, stepped_back = 0, true end

local function write()
  local last = math.max(full.r, full.t, closed)
  if last <= now then
    redis.call('DEL', KEYS[1])
    return
  end
  redis.call('HSET', KEYS[1], 'r', string.format('%.0f', full.r),
    't', string.format('%.0f', full.t), 'c', string.format('%.0f', closed))
  redis.call('PEXPIRE', KEYS[1], string.format('%.0f', math.ceil((last - now) / 1000) + 60000))
end

if ARGV[1] == 'reserve' then
  local wait = closed - now
  local wanted = { r = cost.r, t = tonumber(ARGV[5]) * cost.t }
  for name, amount in pairs(wanted) do
    local room = full[name] + amount - now - MINUTE
    -- What is more than a bucket holds goes through when it is full.
    if room > 0 then wait = math.max(wait, math.min(room, full[name] - now)) end
  end
  if wait > 0 then
    if stepped_back then write() end
    return math.ceil(wait)
  end
  full.r = full.r + wanted.r
  full.t = full.t + wanted.t
  write()
  return 0
end

if ARGV[1] == 'settle' then
  full.t = math.max(full.t + (tonumber(ARGV[6]) - tonumber(ARGV[5])) * cost.t, now)
  write()
  return 0
end

local left = { r = tonumber(ARGV[5]), t = tonumber(ARGV[6]) }
for name, rest in pairs(left) do
  if rest >= 0 and cost[name] > 0 then
    full[name] = math.max(full[name], now + MINUTE - math.min(rest * cost[name], MINUTE))
  end
end
closed = math.max(closed, tonumber(ARGV[7]))
write()
return 0
