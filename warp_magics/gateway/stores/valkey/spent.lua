-- Put what was used in the place of what was taken, while that is in the window. KEYS weights ...   ARGV holder weight
for _, weights in ipairs(KEYS) do
  local taken = redis.call('HGET', weights, ARGV[1])
  if taken then
    redis.call('HINCRBY', weights, '', ARGV[2] - taken)
    redis.call('HSET', weights, ARGV[1], ARGV[2])
  end
end
return 1
