-- The generic cell rate algorithm (ITU-T I.371), as the limits in memory do it.
--
-- KEYS[1]  the name; its value is the moment at which its quota is whole again
-- ARGV[1]  now, ARGV[2] what one costs, ARGV[3] what may be owed at once; microseconds
--
-- Gives 0 if admitted, else the microseconds to wait.
local now, cost, allowed = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local kept = tonumber(redis.call('GET', KEYS[1]) or now)
-- After a step back of the clock a name owes at most its quota.
local owed = math.min(math.max(kept, now), now + math.max(allowed, cost))
local whole = owed + cost
local wait = whole - now - allowed
if wait > 0 then
  if owed >= kept then return wait end
  whole = owed
end
-- Kept for as long as something is owed, and a little more where clocks differ.
local keep = math.ceil((whole - now) / 1000) + 60000
redis.call('SET', KEYS[1], string.format('%.0f', whole), 'PX', string.format('%.0f', keep))
return math.max(wait, 0)
