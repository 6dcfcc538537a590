-- A model has failed: pass it over; of two deadlines the later one holds. Its key outlives the cooldown by a memory of
-- it, so the time that the key has left says how long the cooldown lasts.
-- KEYS health probe   ARGV reason named ms grows first_ms memory_ms   Returns the ms that are left
local ms, first, memory = tonumber(ARGV[3]), tonumber(ARGV[5]), tonumber(ARGV[6])
local left = redis.call('PTTL', KEYS[1]) - memory
redis.call('DEL', KEYS[2])
if left <= 0 then
  redis.call('HINCRBY', KEYS[1], 'failures', 1)
end
if ARGV[4] == '1' then
  local failures = tonumber(redis.call('HGET', KEYS[1], 'failures'))
  ms = math.min(ms, first * 2 ^ math.min(failures - 1, 64))
end
if ms > left then
  redis.call('HSET', KEYS[1], 'reason', ARGV[1], 'named', ARGV[2])
  redis.call('PEXPIRE', KEYS[1], string.format('%.0f', ms + memory))
  left = ms
end
return math.floor(left)
