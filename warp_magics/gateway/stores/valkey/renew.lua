-- needs session.lua
-- Hold on to a session, also where the lease ran out unnoticed. ARGV n holder lease_ms ttl_ms
local n, holder, lease, ttl = unpack(ARGV)
if not is_open(n, holder) then
  return 'lost'
end
redis.call('SET', LOCK, n .. ' ' .. holder, 'PX', lease)
keep(ttl)
return redis.call('HGET', META, 'stop') == n and 'stop' or 'held'
