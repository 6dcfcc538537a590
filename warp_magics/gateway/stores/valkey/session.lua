-- What the scripts about one session share. All its keys carry one hash tag, so they lie on one slot; those of its
-- branches and streams are named from it here.
local META, LOCK, TURNS, SEEN, QUEUE, EVENTS, DRAFT = unpack(KEYS)
local BASE = string.gsub(META, ':meta$', '')
local SEEN_MS = 30 * 86400 * 1000  -- how long an expired session is remembered
local FEED_LENGTH = 256
local RECENT = 16  -- turn ids remembered, so that a turn told twice is known again

local function whole(number)
  return string.format('%.0f', number)
end

local time = redis.call('TIME')
local NOW = whole(time[1] * 1000 + math.floor(time[2] / 1000))

-- Name its line of turns anew: one of them has changed in its place, so that what others have read is not how it begins,
-- though what follows may come back as it was. No two names are alike, those of a copy that was left behind neither.
local function rename()
  local name = time[1] .. '.' .. time[2] .. '.' .. (redis.call('HGET', META, 'version') or '')
  redis.call('HSET', META, 'line', name)
  return name
end

-- The numbers of its branches.
local function branches()
  local numbers = {}
  for number in string.gmatch(redis.call('HGET', META, 'branches') or '', '%d+') do
    numbers[#numbers + 1] = number
  end
  return numbers
end

-- All of a session's keys live on together, and no session ends while it is held.
local function keep(ttl)
  ttl = math.max(tonumber(redis.call('HGET', META, 'ttl') or ttl), redis.call('PTTL', LOCK))
  for _, key in ipairs({META, TURNS, EVENTS, DRAFT}) do
    redis.call('PEXPIRE', key, whole(ttl))
  end
  for _, number in ipairs(branches()) do
    redis.call('PEXPIRE', BASE .. ':branch:' .. number, whole(ttl))
  end
  redis.call('SET', SEEN, redis.call('HGET', META, 'n'), 'PX', whole(ttl + SEEN_MS))
end

-- Add to the session's feed.
local function tell(kind, ...)
  redis.call('XADD', EVENTS, 'MAXLEN', '~', FEED_LENGTH, '*', 'kind', kind, ...)
end

-- The number that a turn of this id was stored under lately, or nil; and '~' where it was settled as an orphan.
local function stored_as(turn_id)
  for id, n, settled in string.gmatch(redis.call('HGET', META, 'recent') or '', '(%S+)=(%d+)(~?)') do
    if id == turn_id then
      return n, settled
    end
  end
end

-- Is turn n open, and begun by this holder?
local function is_open(n, holder)
  local draft = redis.call('HMGET', DRAFT, 'n', 'holder')
  return draft[1] == n and draft[2] == holder
end

-- K of the last event in a stream's log, 0 for none.
local function top(stream)
  local last = redis.call('XREVRANGE', stream, '+', '-', 'COUNT', 1)
  return last[1] and tonumber(string.match(last[1][1], '%-(%d+)$')) or 0
end

-- Add the events from number first on that a log does not have yet, as one entry; returns its last number, and
-- writes nothing where those before first are missing.
local function add(stream, n, first, events, ttl)
  local have = top(stream)
  local last = first + #events - 1
  if have + 1 < first or have >= last then
    return have
  end
  local news = table.concat(events, ',', have - first + 2)
  redis.call('XADD', stream, n .. '-' .. whole(last), 'events', '[' .. news .. ']')
  redis.call('PEXPIRE', stream, ttl)
  return last
end

-- Make a branch of the turns behind the oldest ones, kept, where there are any; '' keeps all. Done again, it does nothing.
local function put_aside(kept)
  local tail = kept == '' and 0 or redis.call('LLEN', TURNS) - tonumber(kept)
  if tail <= 0 then
    return
  end
  local last = redis.call('LINDEX', TURNS, tail)
  local number = whole((redis.call('HGET', META, 'newest branch') or 0) + 1)
  local list = BASE .. ':branch:' .. number
  redis.call('DEL', list)
  for _ = 1, tail do
    redis.call('LMOVE', TURNS, list, 'LEFT', 'RIGHT')
  end
  local numbers = branches()
  numbers[#numbers + 1] = number
  redis.call('HSET', META, 'branch ' .. number, NOW .. ' ' .. (last and cjson.decode(last).id or ''),
    'branches', table.concat(numbers, ' '), 'newest branch', number)
  redis.call('HINCRBY', META, 'version', 1)
  redis.call('PEXPIRE', list, redis.call('PTTL', META))
  tell('rewound')
end

-- Count what a turn cost. counts: field, increment, ... A counter that cannot hold more (a provider may tell any number)
-- stays as it is: no turn is lost for it.
local function count(counts)
  for field, value in pairs(counts) do
    redis.pcall(field == 'cost' and 'HINCRBYFLOAT' or 'HINCRBY', META, field, value)
  end
end
