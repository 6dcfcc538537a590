-- needs session.lua
-- Make a session. ARGV ttl_ms title own_ttl_ms metadata last_n number_of_turns turns (oldest first) ... then counts
local ttl, title, own, metadata, last, turns = unpack(ARGV, 1, 6)
if redis.call('EXISTS', META) == 1 then
  return 0
end
local seen = string.match(redis.call('GET', SEEN) or '', '^%d+') or 0
-- What needs room comes first: else a full store, which refuses only that, would not refuse the script.
redis.call('HSET', META, 'created', NOW, 'updated', NOW, 'n', math.max(seen, last), 'version', NOW)
redis.call('DEL', LOCK, TURNS, QUEUE, DRAFT)
for field, value in pairs({title = title, ttl = own, metadata = metadata}) do
  if value ~= '' then
    redis.call('HSET', META, field, value)
  end
end
turns = tonumber(turns)
for i = 7, 6 + turns do
  redis.call('LPUSH', TURNS, ARGV[i])
end
for i = 7 + turns, #ARGV, 2 do
  count({[ARGV[i]] = ARGV[i + 1]})
end
keep(ttl)
return 1
