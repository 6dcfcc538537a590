-- Give up what this holder has: a probe, a lead. KEYS key   ARGV holder
if redis.call('GET', KEYS[1]) == ARGV[1] then
  redis.call('DEL', KEYS[1])
end
return 1
