-- A prediction from its record to its end, and what is counted of it.
require 'queue'

require 'notify'

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

-- A model may make up error codes: each of the first has a counter, all others share one.
local MOST_COUNTS = 100
local function counter_of(model, what)
  if string.sub(what, 1, 7) ~= 'failed:' or redis.call('HEXISTS', K.counts .. model, what) == 1 then return what end
  return redis.call('HLEN', K.counts .. model) < MOST_COUNTS and what or 'failed:other'
end

-- The last step of what changes predictions: their counts, and the messages to those who wait.
local function conclude()
  for model, own in pairs(counts) do
    for what, number in pairs(own) do redis.call('HINCRBY', K.counts .. model, counter_of(model, what), number) end
  end
  publish_notes()
end

-- Writes the record of a new prediction and queues it. `nth` of one call are a microsecond apart, so
-- that they keep their order. -> {'created', created_at, deadline, queue_position}
local NOT_WRITTEN = {credit = true, deadline_seconds = true, not_after = true}
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
    if not NOT_WRITTEN[field] then
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
  return {'created', accepted_at, deadline or false, queue_position(p.id, p.model, p.version, p.pinned, score)}
end

-- Ends a prediction: the only place that writes a terminal status. `outcome` holds the fields to write.
local ALSO_SENT = {'attempt', 'worker', 'version', 'started_at', 'logs'}
local function end_prediction(id, model, watchers, result_ttl, status, outcome)
  outcome.status = status
  outcome.completed_at = instant(now)
  local flat = {}
  for field, value in pairs(outcome) do
    flat[#flat + 1] = field
    flat[#flat + 1] = value
  end
  unqueue(id, model, read_fields(id, 'pinned')[1])
  redis.call('ZREM', K.running .. model, id)
  redis.call('ZREM', K.deadlines, id)
  redis.call('ZREM', K.limits, id)
  redis.call('HSET', K.prediction .. id, unpack(flat))
  redis.call('ZADD', K.retained, now + tonumber(result_ttl), id)
  redis.call('ZADD', K.kept, 'GT', now + tonumber(result_ttl), model)
  count(model, 'finished:' .. status)
  if status == 'failed' then count(model, 'failed:' .. outcome.error_code) end
  if watchers and a.replicas then
    -- Nobody hears of an outcome that a failover may take back: announce_outcomes.lua sends it later.
    redis.call('ZADD', K.unannounced .. model, instant(now), id)
  elseif watchers then
    for i, value in ipairs(read_fields(id, unpack(ALSO_SENT))) do outcome[ALSO_SENT[i]] = value end
    notify(watchers, {id, 'outcome', outcome})
  end
end

-- Notes for the caller's log what became of a prediction that no worker ran to its end, at most so many a call:
-- {id, model, its error's code or 'queued', attempt, traceparent}.
local MOST_ENDINGS = 100
local endings = {}
local function note_ending(id, model, what)
  local attempt, traceparent = unpack(read_fields(id, 'attempt', 'traceparent'))
  if not attempt or #endings == MOST_ENDINGS then return end
  endings[#endings + 1] = {id, model, what, tonumber(attempt), traceparent}
end
