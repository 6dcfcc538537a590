-- needs session.lua
-- Change a session's description. ARGV ttl_ms then field value ...   Returns whether there is one.
if redis.call('EXISTS', META) == 0 then
  return 0
end
for i = 2, #ARGV, 2 do
  redis.call('HSET', META, ARGV[i], ARGV[i + 1])
end
redis.call('HSET', META, 'updated', NOW)
tell('updated')
keep(ARGV[1])
return 1
