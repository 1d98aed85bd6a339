-- Takes the oldest that wait for any worker, or for one of this version. {model, worker, version?, limit, batch,
-- lease, timeout, wakeup, token, most_bytes} -> {predictions: [{id, attempt, input, ...}], more, wakeups: [wakeup], endings}
-- `more`: others wait that only workers of this version may take. A claim that is sent again, as its answer
-- was lost, has the same token and gets the same predictions.
require 'lifecycle'
require 'outage'
require 'wakeups'

allow_over_maxmemory()
note_sign_of_life(a.model, a.lease)
redis.call('ZREM', K.wakeups .. a.model, a.wakeup)

-- What earlier runs streamed of the output. Counted anew, as workers of an older version do not count.
local function streamed(id)
  local pieces = {}
  for _, packed in ipairs(redis.call('LRANGE', K.events .. id, 0, -1)) do
    local event = cmsgpack.unpack(packed)
    if event[1] == 'output' then pieces[#pieces + 1] = event[2] end
  end
  local text = table.concat(pieces)
  redis.call('HSET', K.prediction .. id, 'streamed', #text)
  return text
end

local own = a.version and place_of(a.model, a.version)

-- The one that is next for this worker, and whether it comes out of those that are pinned to its version.
local function next_one()
  local free, score = unpack(redis.call('ZRANGE', K.queued .. a.model, 0, 0, 'WITHSCORES'))
  if free and tonumber(score) >= FAR then free = nil end
  if not own then return free, false end
  local pinned, since = unpack(redis.call('ZRANGE', K.pinned .. own, 0, 0, 'WITHSCORES'))
  if pinned and (not free or tonumber(since) < tonumber(score)) then return pinned, true end
  return free, false
end

local taken, bytes = {}, 0
local function take(id, attempt, input, created_at, traceparent, tracestate)
  redis.call('ZADD', K.running .. a.model, now + a.lease, id)
  redis.call('ZADD', K.limits, now + a.timeout, id)
  taken[#taken + 1] = {
    id = id, attempt = attempt, input = input, queue_seconds = now - tonumber(created_at),
    traceparent = traceparent or nil, tracestate = tracestate or nil,
    streamed = attempt > 1 and streamed(id) or nil,
  }
end

-- What this claim took already and still has.
local function take_again()
  local packed = a.token and redis.call('HGET', K.claims .. a.model, a.worker)
  local before = packed and cmsgpack.unpack(packed)
  if not before or before.token ~= a.token then return end
  for _, p in ipairs(before.predictions) do
    local status, attempt, input, created_at, traceparent, tracestate =
      unpack(read_fields(p[1], 'status', 'attempt', 'input', 'created_at', 'traceparent', 'tracestate'))
    if status == 'processing' and tonumber(attempt) == p[2] then
      take(p[1], p[2], input, created_at, traceparent, tracestate)
    end
  end
end

take_again()
local again = #taken > 0
while not again and #taken < a.limit do
  local id, is_own = next_one()
  if not id then break end
  local attempt, input, created_at, deadline, suspect, watchers, ttl, traceparent, tracestate, status, pin, score =
    unpack(read_fields(id, 'attempt', 'input', 'created_at', 'deadline', 'suspect', 'watchers', 'result_ttl',
      'traceparent', 'tracestate', 'status', 'pinned', 'score'))
  if not attempt or (is_own and status ~= 'starting') then
    -- Evicted, or an older Soloist took or ended it, which knows of no pins.
    unqueue(id, a.model, is_own and a.version)
  elseif pin and pin ~= a.version then
    enqueue(id, a.model, score) -- an older Soloist put it among those for any worker
  elseif deadline and tonumber(deadline) <= now then
    end_prediction(id, a.model, watchers, ttl, 'canceled', {
      error = 'the deadline passed before it was started',
      error_code = 'deadline_exceeded',
    })
    note_ending(id, a.model, 'deadline_exceeded')
  elseif #taken > 0 and (suspect == '1' or bytes + #input > a.most_bytes) then
    break
  else
    attempt, bytes = tonumber(attempt) + 1, bytes + #input
    unqueue(id, a.model, pin)
    take(id, attempt, input, created_at, traceparent, tracestate)
    if suspect == '1' then break end
  end
end
if #taken > 0 then
  local mine = {}
  for _, p in ipairs(not again and taken or {}) do
    -- How many were claimed together decides later who is to blame, whatever is left of them by then.
    redis.call('HSET', K.prediction .. p.id, 'status', 'processing', 'attempt', p.attempt,
      'worker', a.worker, 'started_at', instant(now), 'claimed_with', #taken)
    if a.version then redis.call('HSET', K.prediction .. p.id, 'version', a.version) end
    mine[#mine + 1] = {p.id, p.attempt}
  end
  if a.token and not again then
    redis.call('HSET', K.claims .. a.model, a.worker, cmsgpack.pack({token = a.token, predictions = mine}))
  end
  redis.call('ZADD', K.busy .. a.model, now + a.lease, a.worker)
  redis.call('ZADD', K.claimed .. a.model, instant(now), a.worker)
end
local more = own and redis.call('ZCARD', K.pinned .. own) or 0
local wakeups = missing_wakeups(a.model, a.batch, more)
conclude()
return cmsgpack.pack({predictions = taken, more = more > 0, wakeups = wakeups, endings = endings})
