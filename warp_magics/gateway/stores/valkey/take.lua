-- Take one request from every sliding window or from none. A window is a sorted set of its requests by time.
-- KEYS windows   ARGV holder take(1|0) then for each window: max span_ms   Returns {left, wait_ms}
local time = redis.call('TIME')
local now = time[1] * 1000 + time[2] / 1000
local left, wait = nil, 0
for i, key in ipairs(KEYS) do
  local max, span = tonumber(ARGV[1 + 2 * i]), tonumber(ARGV[2 + 2 * i])
  redis.call('ZREMRANGEBYSCORE', key, '-inf', now - span)
  local used = redis.call('ZCARD', key)
  if used >= max then
    -- Room comes when the request that stands max places from the end leaves the window.
    local blocking = redis.call('ZRANGE', key, used - max, used - max, 'WITHSCORES')
    local since = blocking[2] and tonumber(blocking[2]) or now
    wait = math.max(wait, since + span - now, 1)
  end
  left = math.min(left or max, max - used)
end
left = math.max(left or 0, 0)
if ARGV[2] == '1' and wait == 0 then
  for i, key in ipairs(KEYS) do
    redis.call('ZADD', key, string.format('%.3f', now), ARGV[1])
    redis.call('PEXPIRE', key, ARGV[2 + 2 * i])
  end
  left = left - 1
end
return {left, math.ceil(wait)}
