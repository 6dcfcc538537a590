-- needs session.lua
-- Add a batch of events to a stream's log. KEYS[8] stream   ARGV n holder stream_ms first then events
-- Returns {last, stop}; last is less than asked for where the log lacks the events before.
local n, holder, stream_ms, first = unpack(ARGV, 1, 4)
if not is_open(n, holder) then
  return {'fenced'}
end
local last = add(KEYS[8], n, tonumber(first), {unpack(ARGV, 5)}, stream_ms)
return {last, redis.call('HGET', META, 'stop') == n and 1 or 0}
