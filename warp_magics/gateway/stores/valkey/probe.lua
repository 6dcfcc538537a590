-- May this holder ask a model that has failed? KEYS health probe   ARGV holder lease_ms memory_ms
local left = redis.call('PTTL', KEYS[1])
if left < 0 then
  return 1  -- it has answered meanwhile
end
if left > tonumber(ARGV[3]) then
  return 0
end
local prober = redis.call('GET', KEYS[2])
if prober and prober ~= ARGV[1] then
  return 0
end
redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
return 1
