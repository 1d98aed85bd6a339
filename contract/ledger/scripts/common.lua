-- What the transitions share: reading a record, queueing, ending, ringing, announcing.
local a = cmsgpack.unpack(ARGV[2])

local function instant(t) return string.format('%.6f', t) end

-- Fields of a record, in the order asked; a missing field is false.
local function fields(id, ...) return redis.call('HMGET', K.prediction .. id, ...) end

-- At `maxmemory` Redis refuses a script whose first write needs memory, but lets one go on that has
-- written something already; a deletion counts, even of nothing. Accepting may be refused. What keeps or
-- ends predictions must not be: it is what frees the memory, and a lease that lapses costs an attempt.
local function insist() redis.call('DEL', K.events .. '') end

-- The caller waits for replicas, and Redis makes it wait for what this call itself wrote only. To say
-- nothing to nobody is written to the replicas like a change, and takes no memory.
if a.awaited then redis.call('PUBLISH', K.answers .. '', '') end

-- While the ledger is away nobody can renew a lease: that is no sign of death, and waiting for it is no
-- computing. The ledger itself notes when a model's workers and keepers last used it, and for how long they
-- lease. A worker gives a sign of life in every third of its lease, so a longer silence of all is an outage (or
-- they, or the ledger's clock, stood still). After one there is a reprieve of a full lease: what had ended before
-- it began is over as ever, everything else gets the time to be renewed or finished. Outages in a row are one
-- until the ledger was there for a lease in all, lest a ledger that stumbles for ever keep the dead alive.
local SHORTEST_OUTAGE = 1
local function hear(model, lease)
  local at, known, from, till, up =
    unpack(redis.call('HMGET', K.heard .. model, 'at', 'lease', 'from', 'till', 'up'))
  at, lease = tonumber(at), lease or tonumber(known)
  if not lease then return end -- nobody has a lease
  local silence, longest = at and now - at or 0, math.max(SHORTEST_OUTAGE, lease / 3)
  if tonumber(till or 0) > now + lease + longest then -- the clock has been set back: that outage is yet to come
    from, till, up = nil, nil, nil
    redis.call('HDEL', K.heard .. model, 'from', 'till', 'up')
  end
  if silence > longest then
    till, up = tonumber(till) or 0, tonumber(up) or 0
    up = up + math.max(0, at - (till - lease)) + longest
    if at >= till or up >= lease then from, up = at, 0 end
    redis.call('HSET', K.heard .. model, 'from', instant(tonumber(from)), 'till', instant(now + lease), 'up', up)
  end
  if not at or silence < 0 or silence > 0.25 or tonumber(known) ~= lease then
    redis.call('HSET', K.heard .. model, 'at', instant(now), 'lease', lease)
  end
end

-- What had to happen by this instant and did not is late: now, or the begin of an outage that is hardly over.
local function late_since(model)
  local from, till = unpack(redis.call('HMGET', K.heard .. model, 'from', 'till'))
  if till and now < tonumber(till) then return math.min(now, tonumber(from)) end
  return now
end

-- Redis's own end of a key that is written again and again: it is for the day on which nobody is left to do so, and
-- Redis counts on while it is away, hence a day more. Said when the key is new and once an hour.
local DAY, HOUR = 86400, 3600
local function outlive(index, lifetime, is_new)
  if is_new or now % HOUR < lifetime then redis.call('EXPIRE', index, math.ceil(lifetime) + DAY) end
end

-- Why a worker of a model could not start: the last one's words, until one becomes ready, or until they are old.
local FAILURE_SECONDS = 900 -- Kubernetes tries again every 5 minutes, and loading takes its time
local function note_failure(model, code, detail)
  redis.call('HSET', K.failure .. model, 'code', code, 'detail', detail, 'at', instant(now),
    'till', instant(now + FAILURE_SECONDS))
  redis.call('EXPIRE', K.failure .. model, FAILURE_SECONDS + DAY)
end

-- A worker that ended while it started left no words: killed, mostly. `phase` is what it was at.
local function note_lost(model, phase)
  local detail = 'a worker ended while it was ' .. (phase or 'starting')
    .. ', and did not say why: it may have been killed for want of memory; its log and its pod know more'
  note_failure(model, 'worker_lost', detail)
end

-- {code, detail, seconds since then}, or false
local function failure_of(model)
  local code, detail, at, till = unpack(redis.call('HMGET', K.failure .. model, 'code', 'detail', 'at', 'till'))
  if not at or now >= tonumber(till) then return false end
  return {code, detail, math.max(0, now - tonumber(at))}
end

local announcements = {}

-- From now on this gateway is told of what becomes of the prediction. `watchers` is who is told already.
-- Each start of a gateway is another name, so that of many the first are forgotten: 17 bytes each.
local MOST_WATCHER_BYTES = 1024
local function watch(id, watchers, watcher)
  if watchers and string.find(' ' .. watchers .. ' ', ' ' .. watcher .. ' ', 1, true) then return end
  local names = watchers and watchers .. ' ' or ''
  if #names > MOST_WATCHER_BYTES then names = string.gsub(names, '^%S+%s+', '', 1) end
  redis.call('HSET', K.prediction .. id, 'watchers', names .. watcher)
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

-- The bytes that this call has taken of what new predictions may take; see `room`.
local taken_bytes = 0

-- A model may make up error codes: each of the first has a counter, all others share one.
local MOST_COUNTS = 100
local function counter(model, what)
  if string.sub(what, 1, 7) ~= 'failed:' or redis.call('HEXISTS', K.counts .. model, what) == 1 then return what end
  return redis.call('HLEN', K.counts .. model) < MOST_COUNTS and what or 'failed:other'
end

-- The last step of what changes a prediction: its counts, and one message to each gateway, whatever the
-- number of predictions.
local function conclude()
  if taken_bytes > 0 then redis.call('HINCRBY', K.room, 'bytes', -taken_bytes) end
  for model, own in pairs(counts) do
    for what, number in pairs(own) do redis.call('HINCRBY', K.counts .. model, counter(model, what), number) end
  end
  for watcher, list in pairs(announcements) do
    redis.call('PUBLISH', K.answers .. watcher, cmsgpack.pack(list))
  end
end

-- A prediction that names a version is run by that version only. It waits in `pinned` of its version by its
-- score, and in `queued`, which holds all that waits, behind all that any worker may take: so no claim meets
-- those of others, and a worker of an older Soloist, which knows of no pins, takes it last.
local FAR = 1e10 -- seconds: the year 2286
local UP_TO_FAR = '(10000000000'
local function place(model, version) return model .. '@' .. version end
local function entry_of(version) return string.sub(version, 1, 32) end

local queued_pins = {} -- model -> how many this call queued
local function enqueue(id, model, score)
  local pin = fields(id, 'pinned')[1]
  if not pin then
    redis.call('ZADD', K.queued .. model, score, id)
    return
  end
  redis.call('ZADD', K.queued .. model, instant(score + FAR), id)
  redis.call('ZADD', K.pinned .. place(model, pin), score, id)
  redis.call('SADD', K.pins .. model, pin)
  queued_pins[model] = (queued_pins[model] or 0) + 1
end

local function unqueue(id, model, pin)
  redis.call('ZREM', K.queued .. model, id)
  if not pin then return end
  redis.call('ZREM', K.pinned .. place(model, pin), id)
  if redis.call('EXISTS', K.pinned .. place(model, pin)) == 0 then redis.call('SREM', K.pins .. model, pin) end
end

-- Where it stands among those that its next worker will take; 1 is next, false when it does not wait.
local function position(id, model, version, pin, score)
  local rank = pin and redis.call('ZRANK', K.pinned .. place(model, pin), id)
  if rank then return rank + redis.call('ZCOUNT', K.queued .. model, '-inf', '(' .. score) + 1 end
  rank = redis.call('ZRANK', K.queued .. model, id)
  if not rank then return false end
  if not version or not score then return rank + 1 end
  return rank + redis.call('ZCOUNT', K.pinned .. place(model, version), '-inf', '(' .. score) + 1
end

-- How long the oldest that waits, for any worker or for one of its version, has waited.
local function oldest_seconds(model)
  local heads = {redis.call('ZRANGE', K.queued .. model, 0, 0)[1]}
  for _, version in ipairs(redis.call('SMEMBERS', K.pins .. model)) do
    heads[#heads + 1] = redis.call('ZRANGE', K.pinned .. place(model, version), 0, 0)[1]
  end
  local least, oldest = nil, now
  for _, id in ipairs(heads) do
    local score, created_at = unpack(fields(id, 'score', 'created_at'))
    if created_at and (not least or tonumber(score or created_at) < least) then
      least, oldest = tonumber(score or created_at), tonumber(created_at)
    end
  end
  return now - oldest
end

-- The versions of a model that have a worker which may still take something.
local function live_versions(model)
  local live, late, announced = {}, late_since(model), redis.call('HGETALL', K.workers .. model)
  for i = 2, #announced, 2 do
    local worker = cmsgpack.unpack(announced[i])
    if worker.model_version and worker.expires > late and worker.state ~= 'draining' then
      live[worker.model_version] = true
    end
  end
  return live
end

-- Whether a worker is there that is ready, or has a batch.
local function serves(model)
  local late, announced = late_since(model), redis.call('HVALS', K.workers .. model)
  for _, packed in ipairs(announced) do
    local worker = cmsgpack.unpack(packed)
    if worker.expires > late and worker.state == 'ready' then return true end
  end
  return redis.call('ZCARD', K.busy .. model) > 0
end

-- How many messages must be out there so that all that waits is fetched: one a batch. Bounded, because
-- every claim that leaves something waiting sends more. A message may reach a worker that may not take what
-- is pinned, so for those (of this call, and `pinned` more) there is no use in more messages than workers.
local MOST_WAKEUPS = 64
local function missing_wakeups(model, batch, pinned)
  local wanted = math.ceil(redis.call('ZCOUNT', K.queued .. model, '-inf', UP_TO_FAR) / batch)
  local pins = (pinned or 0) + (queued_pins[model] or 0)
  if pins > 0 then
    local workers = math.max(1, redis.call('HLEN', K.workers .. model))
    wanted = wanted + math.min(math.ceil(pins / batch), workers)
  end
  if wanted == 0 then return {} end
  local short = math.min(wanted, MOST_WAKEUPS) - redis.call('ZCARD', K.wakeups .. model)
  local wakeups = {}
  for _ = 1, short do
    local wakeup = redis.call('INCR', K.last_wakeup)
    redis.call('ZADD', K.wakeups .. model, now, wakeup)
    wakeups[#wakeups + 1] = wakeup
  end
  return wakeups
end

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
    if field ~= 'credit' and field ~= 'deadline_seconds' and field ~= 'not_after' then
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
  local standing = position(p.id, p.model, p.version, p.pinned, score)
  return {'created', accepted_at, deadline or false, standing}
end

-- Frees the worker's place among the busy ones when it has no other batch.
local function rest(model, worker, idle)
  if not idle then return end
  redis.call('ZREM', K.busy .. model, worker)
  redis.call('ZREM', K.claimed .. model, worker)
  redis.call('HDEL', K.claims .. model, worker)
end

local ALSO_TOLD = {'attempt', 'worker', 'version', 'started_at', 'logs'}

-- Ends a prediction: the only place that writes a terminal status. `outcome` holds the fields to write.
local function settle(id, model, watchers, result_ttl, status, outcome)
  outcome.status = status
  outcome.completed_at = instant(now)
  local flat = {}
  for field, value in pairs(outcome) do
    flat[#flat + 1] = field
    flat[#flat + 1] = value
  end
  unqueue(id, model, fields(id, 'pinned')[1])
  redis.call('ZREM', K.running .. model, id)
  redis.call('ZREM', K.deadlines, id)
  redis.call('ZREM', K.limits, id)
  redis.call('HSET', K.prediction .. id, unpack(flat))
  redis.call('ZADD', K.retained, now + tonumber(result_ttl), id)
  redis.call('ZADD', K.kept, 'GT', now + tonumber(result_ttl), model)
  count(model, 'finished:' .. status)
  if status == 'failed' then count(model, 'failed:' .. outcome.error_code) end
  if watchers and a.replicas then
    -- Nobody is told of an end that a failover may take back: endings.lua announces it, later.
    redis.call('ZADD', K.unannounced .. model, instant(now), id)
  elseif watchers then
    for i, value in ipairs(fields(id, unpack(ALSO_TOLD))) do outcome[ALSO_TOLD[i]] = value end
    announce(watchers, {id, 'outcome', outcome})
  end
end

-- How often a prediction may be handed back by workers that were told to end. Generous, for each is an ordinary
-- rollout; a bound, for one that no worker ever has the time for must end too.
local MOST_HANDED_BACK = 100

-- A status as those who wait may know it: an end that is not announced yet is none to them.
local function told_status(id, model, status)
  if a.replicas and redis.call('ZSCORE', K.unannounced .. model, id) then return 'processing' end
  return status
end

-- Back to the queue, in its old place; or failed and kept aside, when it lost `max_attempts` workers or was handed
-- back too often. Every start ends in one of the two, so the record counts those that were handed back and
-- the rest were lost. A suspect may be why its worker ended: from now on it runs alone.
-- -> 'queued', 'gone' or its error's code
local function give_back(id, model, how, max_attempts, dead_ttl)
  local attempt, watchers, score, handed_back = unpack(fields(id, 'attempt', 'watchers', 'score', 'handed_back'))
  redis.call('ZREM', K.running .. model, id)
  redis.call('ZREM', K.limits, id)
  if not attempt then return 'gone' end -- evicted: possible with durability none
  handed_back = (tonumber(handed_back) or 0) + (how.lost and 0 or 1)
  local lost = tonumber(attempt) - handed_back
  local code, sentence
  if how.lost and lost >= max_attempts then
    code, sentence = 'worker_lost', 'it lost its worker ' .. lost .. ' times'
  elseif handed_back >= MOST_HANDED_BACK then
    code = 'too_many_hand_backs'
    sentence = 'workers that had to end handed it back ' .. handed_back .. ' times before it was done'
  end
  redis.call('HSET', K.prediction .. id, 'handed_back', handed_back)
  if code then
    redis.call('ZADD', K.dead .. model, now, id)
    settle(id, model, watchers, dead_ttl, 'failed', {error = sentence, error_code = code})
    return code
  end
  redis.call('HSET', K.prediction .. id, 'status', 'starting')
  if how.suspect then redis.call('HSET', K.prediction .. id, 'suspect', '1') end
  redis.call('HDEL', K.prediction .. id, 'claimed_with')
  enqueue(id, model, score)
  return 'queued'
end

-- What the caller's log says of predictions that it did not run to their end, at most so many a call:
-- {id, model, its error's code or 'queued', attempt, traceparent}.
local MOST_ENDINGS = 100
local endings = {}
local function note_ending(id, model, what)
  local attempt, traceparent = unpack(fields(id, 'attempt', 'traceparent'))
  if not attempt or #endings == MOST_ENDINGS then return end
  endings[#endings + 1] = {id, model, what, tonumber(attempt), traceparent}
end

-- Typical seconds until the prediction at `position` (1 is next) is done, or false when unknown.
local function eta(model, position)
  local seconds, items = unpack(redis.call('HMGET', K.pace .. model, 'seconds', 'items'))
  if not seconds then return false end
  local workers = math.max(1, redis.call('ZCARD', K.busy .. model))
  return math.ceil(position / math.max(1, tonumber(items)) / workers) * tonumber(seconds)
end

-- Bytes that an output of the model will take: as the last ones did; before there was any, as many as the
-- input, and at least so many.
local LEAST_OUTPUT = 4096
local typical = {}
local function output_bytes(model, input_bytes)
  if typical[model] == nil then
    local bytes, outputs = unpack(redis.call('HMGET', K.pace .. model, 'bytes', 'outputs'))
    typical[model] = bytes and tonumber(bytes) / tonumber(outputs) or false
  end
  return typical[model] or math.max(LEAST_OUTPUT, input_bytes)
end

-- Outputs of the model that take so many bytes together have come: an exponential average over about ten calls.
local function see_outputs(model, outputs, bytes)
  local was, of = unpack(redis.call('HMGET', K.pace .. model, 'bytes', 'outputs'))
  if was then
    bytes, outputs = tonumber(was) * 0.9 + bytes * 0.1, tonumber(of) * 0.9 + outputs * 0.1
  end
  redis.call('HSET', K.pace .. model, 'bytes', instant(bytes), 'outputs', instant(outputs))
end

-- The memory: {limit, used, reserved}; a limit of 0 is none. Reserved is what new predictions must leave: an
-- eighth of it (or what the settings say), and the outputs of all that is not over. What was accepted can end
-- in that, and a broker in the same Redis goes on; at `maxmemory` itself nobody could push a message.
local MIB = 1048576
local function memory(reserve)
  local info = '\n' .. redis.call('INFO', 'memory')
  local function figure(name) return tonumber(string.match(info, '\n' .. name .. ':(%d+)') or 0) end
  local limit = figure('maxmemory')
  local reserved = reserve or math.min(math.max(limit / 8, 16 * MIB), limit / 2)
  for _, model in ipairs(redis.call('SMEMBERS', K.models)) do
    local open = redis.call('ZCARD', K.queued .. model) + redis.call('ZCARD', K.running .. model)
    if open > 0 then
      local oldest = redis.call('ZRANGE', K.queued .. model, 0, 0)[1]
      local input_bytes = oldest and redis.call('HSTRLEN', K.prediction .. oldest, 'input') or 0
      reserved = reserved + open * output_bytes(model, input_bytes)
    end
  end
  return {
    limit = limit, used = figure('used_memory') - figure('mem_not_counted_for_evict'), reserved = reserved,
  }
end

-- The bytes that new predictions may take. INFO costs about as much as a create, so that one look serves
-- all gateways for a moment, less what they accepted since.
local LOOK_SECONDS = 0.25
local ENDLESS = 1e15
local function room(reserve)
  local bytes, good_until = unpack(redis.call('HMGET', K.room, 'bytes', 'good_until'))
  local ahead = good_until and tonumber(good_until) - now
  local left = tonumber(bytes)
  if not ahead or ahead < 0 or ahead > LOOK_SECONDS then
    local m = memory(reserve)
    left = m.limit > 0 and math.floor(m.limit - m.used - m.reserved) or ENDLESS
    insist()
    redis.call('HSET', K.room, 'bytes', string.format('%.0f', left), 'good_until', instant(now + LOOK_SECONDS))
  elseif left <= 0 then
    insist() -- for those that repeat an earlier one
  end
  return left
end

-- Takes room for a prediction out of what `room` said is left. False when there is too little.
local RECORD_BYTES = 2048
local function take_room(left, model, input)
  local bytes = math.ceil(RECORD_BYTES + #input + output_bytes(model, #input))
  if taken_bytes + bytes > left then return false end
  taken_bytes = taken_bytes + bytes
  return true
end

-- Seconds until the next records are deleted: the soonest that there may be more room.
local function until_more_room()
  local next_one = redis.call('ZRANGE', K.retained, 0, 0, 'WITHSCORES')[2]
  return next_one and math.max(0, tonumber(next_one) - now) or false
end

-- A record as readers get it: all its fields, and where it stands in the queue.
local function view(id)
  local flat = redis.call('HGETALL', K.prediction .. id)
  if #flat == 0 then return false end
  local record = {}
  for i = 1, #flat, 2 do record[flat[i]] = flat[i + 1] end
  if record.status == 'starting' then
    local standing = position(id, record.model, record.version, record.pinned, record.score)
    if standing then
      record.queue_position = standing
      record.eta_seconds = eta(record.model, standing)
    end
  end
  return record
end

-- A record without what may be large, and without what is nobody else's business.
local BRIEF = {
  'id', 'model', 'version', 'status', 'attempt', 'priority', 'worker', 'created_at', 'started_at',
  'completed_at', 'error_code', 'progress', 'predict_seconds', 'sequence', 'data_removed',
}
local function brief(id)
  local record = {}
  for i, value in ipairs(fields(id, unpack(BRIEF))) do record[BRIEF[i]] = value end
  return record.id and record
end

-- How large what may be large in a record is. Redis does nothing else while a script reads, about 10 ms a
-- megabyte; so the size is asked for first.
local function record_bytes(id)
  local bytes = 0
  for _, field in ipairs({'input', 'output', 'logs', 'error'}) do
    bytes = bytes + redis.call('HSTRLEN', K.prediction .. id, field)
  end
  return bytes
end
