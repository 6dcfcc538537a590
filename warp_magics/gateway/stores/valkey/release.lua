-- needs session.lua
-- Leave the queue, or give a session back in which nothing was said. ARGV holder
redis.call('HDEL', QUEUE, ARGV[1])
local draft = redis.call('HMGET', DRAFT, 'n', 'holder', 'turn')
if draft[2] == ARGV[1] then
  redis.call('DEL', DRAFT, LOCK)
  tell('turn-ended', 'n', draft[1], 'turn', draft[3], 'status', 'failed')
  redis.call('PEXPIRE', EVENTS, redis.call('PTTL', META))
end
return 1
