-- Take from every sliding window or from none. A window is a sorted set of its takers by time, and a hash of how much
-- each has taken, with the sum under ''.
-- KEYS for each window: times weights   ARGV holder take(1|0) then for each window: max span_ms weight
-- Returns {wait_ms, left ...}; -1 where the weight is more than a window ever has
local holder, take = ARGV[1], ARGV[2] == '1'
local time = redis.call('TIME')
local now = time[1] * 1000 + time[2] / 1000
local again = take and redis.call('ZSCORE', KEYS[1], holder)
local said = {0}

-- Milliseconds until so much is free.
local function until_free(times, weights, lacking, span)
  local takers = redis.call('ZRANGE', times, 0, -1, 'WITHSCORES')
  for at = 1, #takers, 2 do
    lacking = lacking - redis.call('HGET', weights, takers[at])
    if lacking <= 0 then
      return math.max(1, math.ceil(takers[at + 1] + span - now))
    end
  end
  return span
end

for i = 1, #KEYS, 2 do
  local times, weights, at = KEYS[i], KEYS[i + 1], 3 + (i - 1) / 2 * 3
  local max, span, weight = tonumber(ARGV[at]), tonumber(ARGV[at + 1]), again and 0 or tonumber(ARGV[at + 2])
  for _, gone in ipairs(redis.call('ZRANGEBYSCORE', times, '-inf', now - span)) do
    redis.call('HINCRBY', weights, '', -redis.call('HGET', weights, gone))
    redis.call('HDEL', weights, gone)
    redis.call('ZREM', times, gone)
  end
  local left = max - (redis.call('HGET', weights, '') or 0)
  if weight > max then
    said[1] = -1
  elseif weight > left and said[1] >= 0 then
    said[1] = math.max(said[1], until_free(times, weights, weight - left, span))
  end
  said[#said + 1] = math.max(0, left)
end
if take and not again and said[1] == 0 then
  for i = 1, #KEYS, 2 do
    local at = 3 + (i - 1) / 2 * 3
    redis.call('ZADD', KEYS[i], string.format('%.3f', now), holder)
    redis.call('HSET', KEYS[i + 1], holder, ARGV[at + 2])
    redis.call('HINCRBY', KEYS[i + 1], '', ARGV[at + 2])
    redis.call('PEXPIRE', KEYS[i], ARGV[at + 1])
    redis.call('PEXPIRE', KEYS[i + 1], ARGV[at + 1])
    said[2 + (i - 1) / 2] = said[2 + (i - 1) / 2] - ARGV[at + 2]
  end
end
return said
