-- needs session.lua
-- A turn ends: store it, log its last events, let its session go. Told again, it does nothing.
-- KEYS[8] stream
-- ARGV n holder turn_id json status ttl_ms stream_ms kept before first number_of_events events ... then counts: field,
-- increment ... kept: how many of the oldest turns stay before it, '' for all. before: the id of the last turn where this
-- one goes on with it, else ''.
-- Without a holder it settles an orphan: a turn that is open and that nobody holds.
local n, holder, turn_id, json, status, ttl, stream_ms, kept, goes_on, first, events = unpack(ARGV, 1, 11)
local before, settled = stored_as(turn_id)
if before then
  if settled ~= (holder == '' and '~' or '') then
    return 'fenced'
  end
  keep(ttl)  -- a write, so that waiting for replicas means something here too
  return 'stored'
end
local has = redis.call('HGET', META, 'n')
if not has then
  return 'fenced'
end
local draft = redis.call('HMGET', DRAFT, 'n', 'holder')
if holder == '' then
  if draft[1] ~= n or redis.call('EXISTS', LOCK) == 1 or top(KEYS[8]) + 1 ~= tonumber(first) then
    return 'fenced'
  end
elseif not is_open(n, holder) then
  -- A primary that was lost before its replica knew of this turn's beginning: nobody has begun another since.
  if draft[1] or tonumber(has) >= tonumber(n) then
    return 'fenced'
  end
  redis.call('HSET', META, 'n', n)
end
events = tonumber(events)
add(KEYS[8], n, tonumber(first), {unpack(ARGV, 12, 11 + events)}, stream_ms)
put_aside(kept)
redis.call('HINCRBY', META, 'version', 1)
local counts = {}
for i = 12 + events, #ARGV, 2 do
  counts[ARGV[i]] = ARGV[i + 1]
end
count(counts)
local recent = turn_id .. '=' .. n .. (holder == '' and '~' or '') .. ' ' .. (redis.call('HGET', META, 'recent') or '')
local at = 0
for _ = 1, RECENT do
  at = string.find(recent, ' ', at + 1, true) or #recent
end
local last = goes_on ~= '' and redis.call('LINDEX', TURNS, 0)
-- Nothing from here to the list of recent ones may fail: a turn that is not known to be stored is stored again.
if last and cjson.decode(last).id == goes_on then
  redis.call('LSET', TURNS, 0, json)
  rename()
else
  redis.call('LPUSH', TURNS, json)
end
redis.call('HSET', META, 'recent', string.sub(recent, 1, at), 'updated', NOW)
redis.call('HDEL', META, 'stop')
redis.call('DEL', DRAFT, LOCK)
tell('turn-ended', 'n', n, 'turn', turn_id, 'status', status)
keep(ttl)
return 'stored'
