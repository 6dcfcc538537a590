-- Pass a model over; of two deadlines the later one holds. KEYS cooldown   ARGV value ms
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[2]) then
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
end
return 1
