-- needs session.lua
-- Remove a session and all that is its; its numbers are remembered, so that no stream's name comes again.
-- ARGV feed_ms: how long the feed still tells of it
local n = redis.call('HGET', META, 'n')
if not n then
  return 0
end
for _, number in ipairs(branches()) do
  redis.call('UNLINK', BASE .. ':branch:' .. number)
end
for number = 1, tonumber(n) do
  redis.call('UNLINK', BASE .. ':stream:' .. whole(number))
end
redis.call('UNLINK', META, LOCK, TURNS, QUEUE, DRAFT)
redis.call('SET', SEEN, n .. ' deleted', 'PX', whole(SEEN_MS))
tell('deleted')
redis.call('PEXPIRE', EVENTS, ARGV[1])
return 1
