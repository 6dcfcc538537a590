-- needs session.lua
-- Add a batch of events to a stream's log. KEYS[8] stream   ARGV n holder stream_ms first kept then events
-- kept: how many of the oldest turns stay before this one, '' for all.
-- Returns {last, stop}; last is less than asked for where the log lacks the events before.
local n, holder, stream_ms, first, kept = unpack(ARGV, 1, 5)
if not is_open(n, holder) then
  return {'fenced'}
end
local last = add(KEYS[8], n, tonumber(first), {unpack(ARGV, 6)}, stream_ms)
if last >= tonumber(first) + #ARGV - 6 then
  put_aside(kept)
end
return {last, redis.call('HGET', META, 'stop') == n and 1 or 0}
