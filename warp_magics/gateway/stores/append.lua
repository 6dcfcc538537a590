-- A turn ends: store it and let its session go. Asked again with the same turn it does nothing.
-- KEYS meta lock turns seen   ARGV turn_id n json holder ttl_ms seen_ms title model then usage: field, tokens ...
if redis.call('HGET', KEYS[1], 'last') == ARGV[1] then
  return 'stored'
end
if redis.call('HGET', KEYS[1], 'n') ~= ARGV[2] then
  -- It may have been stored before the later turn began, and only the word of it was lost.
  for _, turn in ipairs(redis.call('LRANGE', KEYS[3], 0, 31)) do
    if string.find(turn, '"id":"' .. ARGV[1] .. '"', 1, true) then
      return 'stored'
    end
  end
  return 'fenced'
end
local time = redis.call('TIME')
local now = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))
redis.call('LPUSH', KEYS[3], ARGV[3])
redis.call('HSET', KEYS[1], 'last', ARGV[1], 'updated', now)
redis.call('HSETNX', KEYS[1], 'title', ARGV[7])
redis.call('HINCRBY', KEYS[1], 'count', 1)
if ARGV[8] ~= '' then
  redis.call('HINCRBY', KEYS[1], 'model ' .. ARGV[8], 1)
end
for i = 9, #ARGV, 2 do
  redis.call('HINCRBY', KEYS[1], ARGV[i], ARGV[i + 1])
end
redis.call('PEXPIRE', KEYS[1], ARGV[5])
redis.call('PEXPIRE', KEYS[3], ARGV[5])
redis.call('SET', KEYS[4], ARGV[2], 'PX', ARGV[6])
if redis.call('GET', KEYS[2]) == ARGV[2] .. ' ' .. ARGV[4] then
  redis.call('DEL', KEYS[2])
end
return 'stored'
