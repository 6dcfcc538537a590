-- Measure a model's pace: a mean in which old measurements fade. KEYS pace   ARGV seconds weight ms
local mean = tonumber(redis.call('GET', KEYS[1]) or ARGV[1])
redis.call('SET', KEYS[1], mean + ARGV[2] * (ARGV[1] - mean), 'PX', ARGV[3])
return 1
