-- What was remembered; else who is to make it. KEYS answer lead   ARGV holder lease_ms   Returns {kind, value}
local value = redis.call('GET', KEYS[1])
if value then
  return {'value', value}
end
local leader = redis.call('GET', KEYS[2])
if leader and leader ~= ARGV[1] then
  return {'wait'}
end
redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
return {'lead'}
