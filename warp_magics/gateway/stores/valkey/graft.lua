-- needs session.lua
-- Change the turns and branches of a session that nobody holds, where they still are of the version seen.
-- ARGV version ttl_ms keep number_of_turns turns (oldest first) ... then for each branch:
--      number after created_ms number_of_turns turns ...   One without turns goes.
local version, ttl, kept, added = unpack(ARGV, 1, 4)
if redis.call('HGET', META, 'version') ~= version or redis.call('EXISTS', LOCK, DRAFT) > 0 then
  return 0
end
kept = tonumber(kept)
if kept == 0 then
  redis.call('DEL', TURNS)
else
  redis.call('LTRIM', TURNS, -kept, -1)
end
local at = 5
local function take(list, turns)
  for i = at, at + turns - 1 do
    redis.call('LPUSH', list, ARGV[i])
  end
  at = at + turns
end
take(TURNS, tonumber(added))
local alive, newest = {}, tonumber(redis.call('HGET', META, 'newest branch') or 0)
for _, number in ipairs(branches()) do
  alive[number] = true
end
while at <= #ARGV do
  local number, after, created, turns = unpack(ARGV, at, at + 3)
  local list = BASE .. ':branch:' .. number
  at = at + 4
  redis.call('DEL', list)
  take(list, tonumber(turns))
  alive[number] = tonumber(turns) > 0 or nil
  newest = math.max(newest, tonumber(number))
  if alive[number] then
    redis.call('HSET', META, 'branch ' .. number, created .. ' ' .. after)
  else
    redis.call('HDEL', META, 'branch ' .. number)
  end
end
local numbers = {}
for number in pairs(alive) do
  numbers[#numbers + 1] = number
end
table.sort(numbers, function(a, b) return tonumber(a) < tonumber(b) end)
redis.call('HSET', META, 'branches', table.concat(numbers, ' '), 'newest branch', newest, 'updated', NOW)
redis.call('HINCRBY', META, 'version', 1)
tell('rewound')
keep(ttl)
return 1
