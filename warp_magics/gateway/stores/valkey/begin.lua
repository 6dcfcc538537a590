-- needs session.lua
-- A turn asks for its session, first come, first served: take the lock, give the turn its number, read those before.
-- ARGV holder lease_ms ttl_ms create deadline_ms ticket_ms turn_id title draft_json prompt line known digest
-- Who knows the oldest turns of a line, the last of them by its digest, is told those behind them.
local holder, lease, ttl, create, deadline, ticket_ms, turn_id, title, draft_json, prompt, line, known, digest = unpack(ARGV)
known = tonumber(known)
if tonumber(NOW) > tonumber(deadline) then
  return {'late'}  -- nobody waits for this turn any more
end
local status = 'known'
if redis.call('EXISTS', META) == 0 then
  local last, deleted = string.match(redis.call('GET', SEEN) or '', '^(%d+)( ?%a*)$')
  if last and deleted == '' then
    status = 'restarted'
  elseif create == '1' then
    status = 'created'
  else
    return {'missing'}
  end
  redis.call('HSET', META, 'created', NOW, 'updated', NOW, 'n', last or 0, 'version', NOW)  -- first: see below
  redis.call('DEL', LOCK, TURNS, QUEUE, DRAFT)
end

-- Returns {status, n, now, line, turns of it that are known, the others, newest first}.
local function begun(n)
  local named = redis.call('HGET', META, 'line') or rename()
  local last = named == line and known > 0 and redis.call('LINDEX', TURNS, -known)
  if last and redis.sha1hex(last) == digest then
    local added = redis.call('LLEN', TURNS) - known
    return {status, n, NOW, named, known, added > 0 and redis.call('LRANGE', TURNS, 0, added - 1) or {}}
  end
  return {status, n, NOW, named, 0, redis.call('LRANGE', TURNS, 0, -1)}
end

local draft = redis.call('HMGET', DRAFT, 'n', 'holder', 'turn', 'began', 'json', 'status')
local held = redis.call('EXISTS', LOCK) == 1
if held and draft[2] == holder then
  status = draft[6]
  return begun(tonumber(draft[1]))
end
if draft[3] == turn_id and held then
  redis.call('HDEL', QUEUE, holder)
  return {'asked', tonumber(draft[1])}
end
local before = stored_as(turn_id)
if before then
  redis.call('HDEL', QUEUE, holder)
  return {'asked', tonumber(before)}
end

-- Tickets: holder = "number expires_ms". One that is not asked for any more has left the queue.
local tickets = redis.call('HGETALL', QUEUE)
local mine, others = nil, {}
for i = 1, #tickets, 2 do
  local number, expires = string.match(tickets[i + 1], '^(%d+) (%d+)$')
  if tonumber(expires) < tonumber(NOW) then
    redis.call('HDEL', QUEUE, tickets[i])
  elseif tickets[i] == holder then
    mine = tonumber(number)
  else
    others[#others + 1] = tonumber(number)
  end
end
local ahead = 0
for _, number in ipairs(others) do
  if not mine or number < mine then
    ahead = ahead + 1
  end
end
if held or draft[1] or ahead > 0 then
  mine = mine or redis.call('HINCRBY', META, 'tickets', 1)
  redis.call('HSET', QUEUE, holder, whole(mine) .. ' ' .. whole(NOW + ticket_ms))
  redis.call('PEXPIRE', QUEUE, ticket_ms)
  if draft[1] and not held then
    return {'orphan', tonumber(draft[1]), draft[4], draft[5]}
  end
  return {'waiting', ahead + 1, tonumber(draft[1]) or false}
end

-- A full store refuses a script whole only where its first write is one that needs room.
local n = redis.call('HINCRBY', META, 'n', 1)
redis.call('HDEL', QUEUE, holder)
redis.call('UNLINK', BASE .. ':stream:' .. whole(n))  -- a log that outlived a session which was evicted
redis.call('SET', LOCK, n .. ' ' .. holder, 'PX', lease)
redis.call('HSET', DRAFT, 'n', n, 'holder', holder, 'turn', turn_id, 'began', NOW, 'json', draft_json, 'status', status,
  'prompt', prompt)  -- apart: the JSON may hold megabytes of attachments, which no description should have to read
redis.call('HSETNX', META, 'title', title)
redis.call('HSET', META, 'updated', NOW)
redis.call('HDEL', META, 'stop')
tell('turn-started', 'n', n, 'turn', turn_id)
keep(ttl)
return begun(n)
