-- What the transitions share: reading a record, queueing, ending, ringing, announcing.
local a = cmsgpack.unpack(ARGV[2])

local function instant(t) return string.format('%.6f', t) end

-- Fields of a record, in the order asked; a missing field is false.
local function fields(id, ...) return redis.call('HMGET', K.prediction .. id, ...) end

-- At `maxmemory` Redis refuses a script whose first write needs memory, but lets one go on that has
-- written something already; a deletion counts, even of nothing. Accepting may be refused. What keeps or
-- ends predictions must not be: it is what frees the memory, and a lease that lapses costs an attempt.
local function insist() redis.call('DEL', K.events .. '') end

local announcements = {}

-- From now on this gateway is told of what becomes of the prediction. `watchers` is who is told already.
local function watch(id, watchers, watcher)
  if watchers and string.find(' ' .. watchers .. ' ', ' ' .. watcher .. ' ', 1, true) then return end
  redis.call('HSET', K.prediction .. id, 'watchers', (watchers and watchers .. ' ' or '') .. watcher)
end

-- Tells the gateways that wait for this prediction. `watchers` is their names, separated by spaces.
local function announce(watchers, message)
  if not watchers then return end
  for watcher in string.gmatch(watchers, '%S+') do
    local list = announcements[watcher]
    if not list then
      list = {}
      announcements[watcher] = list
    end
    list[#list + 1] = message
  end
end

-- Counts what became of a prediction. Its counters outlive it, and every process.
local counts = {}
local function count(model, what)
  local own = counts[model]
  if not own then
    own = {}
    counts[model] = own
  end
  own[what] = (own[what] or 0) + 1
end

-- The last step of what changes a prediction: its counts, and one message to each gateway, whatever the
-- number of predictions.
local function conclude()
  for model, own in pairs(counts) do
    for what, number in pairs(own) do redis.call('HINCRBY', K.counts .. model, what, number) end
  end
  for watcher, list in pairs(announcements) do
    redis.call('PUBLISH', K.answers .. watcher, cmsgpack.pack(list))
  end
end

-- How many messages must be out there so that all that waits is fetched: one a batch. Bounded, because
-- every claim that leaves something waiting rings again.
local MOST_RINGS = 64
local function rings_short(model, batch)
  local waiting = redis.call('ZCARD', K.queued .. model)
  if waiting == 0 then return {} end
  local wanted = math.min(math.ceil(waiting / batch), MOST_RINGS)
  local short = wanted - redis.call('ZCARD', K.rings .. model)
  local rings = {}
  for _ = 1, short do
    local ring = redis.call('INCR', K.ring)
    redis.call('ZADD', K.rings .. model, now, ring)
    rings[#rings + 1] = ring
  end
  return rings
end

local function enqueue(id, model, score) redis.call('ZADD', K.queued .. model, score, id) end

-- Writes the record of a new prediction and queues it. `nth` of one call are a microsecond apart, so
-- that they keep their order. -> {'created', created_at, deadline, queue_position}
local function accept(p, nth)
  local accepted_at = now + nth * 1e-6
  local score = instant(accepted_at - p.credit)
  local sequence = redis.call('INCR', K.sequence)
  local flat = {
    'status', 'starting', 'attempt', '0', 'created_at', instant(accepted_at),
    'score', score, 'sequence', sequence,
  }
  local deadline = p.deadline_seconds and now + p.deadline_seconds
  if deadline then
    flat[#flat + 1] = 'deadline'
    flat[#flat + 1] = instant(deadline)
    redis.call('ZADD', K.deadlines, instant(deadline), p.id)
  end
  for field, value in pairs(p) do
    if field ~= 'credit' and field ~= 'deadline_seconds' then
      flat[#flat + 1] = field
      flat[#flat + 1] = value
    end
  end
  redis.call('HSET', K.prediction .. p.id, unpack(flat))
  redis.call('ZADD', K.created .. p.owner, sequence, p.id)
  if p.idempotency_key then
    redis.call('HSET', K.idempotency .. p.owner, p.idempotency_key, p.id)
  end
  enqueue(p.id, p.model, score)
  count(p.model, 'accepted')
  return {'created', accepted_at, deadline or false, redis.call('ZRANK', K.queued .. p.model, p.id) + 1}
end

-- Frees the worker's place among the busy ones when it has no other batch.
local function rest(model, worker, idle)
  if not idle then return end
  redis.call('ZREM', K.busy .. model, worker)
  redis.call('ZREM', K.claimed .. model, worker)
end

-- Ends a prediction: the only place that writes a terminal status. `outcome` holds the fields to write.
local function settle(id, model, watchers, result_ttl, status, outcome)
  outcome.status = status
  outcome.completed_at = instant(now)
  local flat = {}
  for field, value in pairs(outcome) do
    flat[#flat + 1] = field
    flat[#flat + 1] = value
  end
  redis.call('ZREM', K.queued .. model, id)
  redis.call('ZREM', K.running .. model, id)
  redis.call('ZREM', K.deadlines, id)
  redis.call('ZREM', K.limits, id)
  redis.call('HSET', K.prediction .. id, unpack(flat))
  redis.call('ZADD', K.retained, now + tonumber(result_ttl), id)
  count(model, 'finished:' .. status)
  if status == 'failed' then count(model, 'failed:' .. outcome.error_code) end
  if watchers then
    local attempt, worker, started_at, logs = unpack(fields(id, 'attempt', 'worker', 'started_at', 'logs'))
    outcome.attempt, outcome.worker, outcome.started_at, outcome.logs = attempt, worker, started_at, logs
    announce(watchers, {id, 'outcome', outcome})
  end
end

-- Back to the queue, in its old place; or, when it was started too often, failed and kept aside.
-- A suspect may have killed its worker: it will run alone.
local function give_back(id, model, suspect, max_attempts, dead_ttl)
  local attempt, watchers, score = unpack(fields(id, 'attempt', 'watchers', 'score'))
  redis.call('ZREM', K.running .. model, id)
  redis.call('ZREM', K.limits, id)
  if not attempt then return 'gone' end -- evicted: possible with durability none
  if tonumber(attempt) >= max_attempts then
    redis.call('ZADD', K.dead .. model, now, id)
    settle(id, model, watchers, dead_ttl, 'failed', {
      error = 'started ' .. attempt .. ' times, and each time its worker was lost',
      error_code = 'worker_lost',
    })
    return 'dead'
  end
  redis.call('HSET', K.prediction .. id, 'status', 'starting', 'suspect', suspect and '1' or '0')
  redis.call('DEL', K.events .. id)
  enqueue(id, model, score)
  return 'queued'
end

-- What the caller's log says of predictions that it did not run to their end, at most so many a call:
-- {id, model, its error's code or 'queued', attempt, traceparent}.
local MOST_TOLD = 100
local told = {}
local function tell(id, model, fate)
  local attempt, traceparent = unpack(fields(id, 'attempt', 'traceparent'))
  if not attempt or #told == MOST_TOLD then return end
  told[#told + 1] = {id, model, fate == 'dead' and 'worker_lost' or fate, tonumber(attempt), traceparent}
end

-- Typical seconds until the prediction at `position` (1 is next) is done, or false when unknown.
local function eta(model, position)
  local seconds, items = unpack(redis.call('HMGET', K.pace .. model, 'seconds', 'items'))
  if not seconds then return false end
  local workers = math.max(1, redis.call('ZCARD', K.busy .. model))
  return math.ceil(position / math.max(1, tonumber(items)) / workers) * tonumber(seconds)
end

-- A record as readers get it: all its fields, and where it stands in the queue.
local function view(id)
  local flat = redis.call('HGETALL', K.prediction .. id)
  if #flat == 0 then return false end
  local record = {}
  for i = 1, #flat, 2 do record[flat[i]] = flat[i + 1] end
  if record.status == 'starting' then
    local rank = redis.call('ZRANK', K.queued .. record.model, id)
    if rank then
      record.queue_position = rank + 1
      record.eta_seconds = eta(record.model, rank + 1)
    end
  end
  return record
end
