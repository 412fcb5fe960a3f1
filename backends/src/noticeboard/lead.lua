-- Holds a lease, or says that another has it.
--
-- KEYS[1]  the lease; its value is its holder and the moment it ends
-- ARGV[1]  who wants it, ARGV[2] now, ARGV[3] when it is to end (microseconds), ARGV[4] how
--          long a lease is remembered that nobody renews (milliseconds)
--
-- Gives 1 where it is held, else 0.
local kept = redis.call('GET', KEYS[1])
if kept then
  local holder, ends = string.match(kept, '^(%S+) (%d+)$')
  if holder and holder ~= ARGV[1] and tonumber(ends) > tonumber(ARGV[2]) then return 0 end
end
redis.call('SET', KEYS[1], ARGV[1] .. ' ' .. ARGV[3], 'PX', ARGV[4])
return 1
