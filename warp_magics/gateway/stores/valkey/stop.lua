-- needs session.lua
-- Tell the producer of turn n to end it. ARGV n   Returns whether there is one.
if redis.call('HGET', DRAFT, 'n') ~= ARGV[1] then
  return 0
end
redis.call('HSET', META, 'stop', ARGV[1])
return 1
