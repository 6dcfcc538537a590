-- Count what a turn used, once. KEYS counters marker   ARGV marker_ms counters_ms field increment ...
if redis.call('SET', KEYS[2], 1, 'NX', 'PX', ARGV[1]) then
  for i = 3, #ARGV, 2 do
    -- A counter that cannot hold more (a provider may tell any number) stays as it is.
    redis.pcall('HINCRBYFLOAT', KEYS[1], ARGV[i], ARGV[i + 1])
  end
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
return 1
