-- A turn begins: find or make the session, take its lock, give the turn its number, read the turns before.
-- KEYS meta lock turns seen   ARGV holder lease_ms ttl_ms create limit seen_ms deadline_ms
-- Past the deadline nobody waits for this turn any more: it does nothing.
-- The lock's value is "N HOLDER", so that the same holder asking again is told the same N.
local time = redis.call('TIME')
local now = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))
if tonumber(now) > tonumber(ARGV[7]) then
  return {'late'}
end
local status = 'known'
if redis.call('EXISTS', KEYS[1]) == 0 then
  local last = redis.call('GET', KEYS[4])
  if last then
    status = 'restarted'
  elseif ARGV[4] == '1' then
    status = 'created'
  else
    return {'missing'}
  end
  redis.call('DEL', KEYS[2], KEYS[3])
  redis.call('HSET', KEYS[1], 'created', now, 'count', 0, 'n', last or 0)
end
local n
local held = redis.call('GET', KEYS[2])
if not held then
  n = redis.call('HINCRBY', KEYS[1], 'n', 1)
elseif string.match(held, '^%d+ (.*)$') == ARGV[1] then
  n = tonumber(string.match(held, '^%d+'))
else
  return {'busy'}
end
redis.call('SET', KEYS[2], n .. ' ' .. ARGV[1], 'PX', ARGV[2])
redis.call('HSET', KEYS[1], 'updated', now)
redis.call('PEXPIRE', KEYS[1], ARGV[3])
redis.call('PEXPIRE', KEYS[3], ARGV[3])
redis.call('SET', KEYS[4], n, 'PX', ARGV[6])
local limit = tonumber(ARGV[5])  -- negative: all of them
local turns = {}
if limit ~= 0 then
  turns = redis.call('LRANGE', KEYS[3], 0, limit < 0 and -1 or limit - 1)
end
return {status, n, now, turns}
