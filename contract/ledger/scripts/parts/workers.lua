-- The workers of a model: who is there, what each does, and why the last one could not start.
require 'outage'

-- Redis itself ends a key that nobody writes any more, for the day on which nobody is left to delete it. Redis counts
-- on while it is away, hence a day more. The end is set when the key is new, and once an hour.
local DAY, HOUR = 86400, 3600
local function expire_unused(index, lifetime, is_new)
  if is_new or now % HOUR < lifetime then redis.call('EXPIRE', index, math.ceil(lifetime) + DAY) end
end

-- Why a worker of a model could not start. The last one's words hold until a worker becomes ready, or until they
-- are old.
local FAILURE_SECONDS = 900 -- Kubernetes tries again every 5 minutes, and loading takes its time
local function note_start_failure(model, code, detail)
  redis.call('HSET', K.failure .. model, 'code', code, 'detail', detail, 'at', instant(now),
    'till', instant(now + FAILURE_SECONDS))
  redis.call('EXPIRE', K.failure .. model, FAILURE_SECONDS + DAY)
end

-- A worker that ended while it started and left no words was killed, mostly. `phase` is what it was at.
local function note_lost_start(model, phase)
  local detail = 'a worker ended while it was ' .. (phase or 'starting')
    .. ', and did not say why: it may have been killed for want of memory; its log and its pod know more'
  note_start_failure(model, 'worker_lost', detail)
end

-- {code, detail, seconds since then}, or false
local function read_start_failure(model)
  local code, detail, at, till = unpack(redis.call('HMGET', K.failure .. model, 'code', 'detail', 'at', 'till'))
  if not at or now >= tonumber(till) then return false end
  return {code, detail, math.max(0, now - tonumber(at))}
end

-- The versions of a model that have a worker which may still take something.
local function live_versions(model)
  local live, late, registered = {}, late_since(model), redis.call('HVALS', K.workers .. model)
  for _, packed in ipairs(registered) do
    local worker = cmsgpack.unpack(packed)
    if worker.model_version and worker.expires > late and worker.state ~= 'draining' then
      live[worker.model_version] = true
    end
  end
  return live
end

-- Whether a worker is there that is ready, or has a batch.
local function has_serving_worker(model)
  local late, registered = late_since(model), redis.call('HVALS', K.workers .. model)
  for _, packed in ipairs(registered) do
    local worker = cmsgpack.unpack(packed)
    if worker.expires > late and worker.state == 'ready' then return true end
  end
  return redis.call('ZCARD', K.busy .. model) > 0
end

-- The workers that have a batch, {name: seconds since they claimed it}, and the names of those that had one. `busy`
-- says who, `claimed` only since when: a worker of an older version does not write it.
local function busy_workers(model, late)
  local claimed, since = redis.call('ZRANGE', K.claimed .. model, 0, -1, 'WITHSCORES'), {}
  for i = 1, #claimed, 2 do since[claimed[i]] = tonumber(claimed[i + 1]) end
  local ages, idle = {}, {}
  for _, name in ipairs(redis.call('ZRANGEBYSCORE', K.busy .. model, '(' .. instant(late), '+inf')) do
    ages[name] = math.max(0, now - (since[name] or now))
  end
  for name in pairs(since) do
    if not ages[name] then idle[#idle + 1] = name end
  end
  return ages, idle
end

-- All workers of a model as readers get them, and the registered ones that are lost: their sign of life is overdue.
-- -> [{name, state, state_seconds, ...}], {name: what it said last}
local function list_workers(model, busy, late)
  local workers, lost, known = {}, {}, {}
  local registered = redis.call('HGETALL', K.workers .. model)
  for i = 1, #registered, 2 do
    local name, worker = registered[i], cmsgpack.unpack(registered[i + 1])
    if worker.expires > late then
      worker.name, worker.state_seconds = name, math.max(0, now - worker.since)
      if busy[name] and worker.state ~= 'draining' then
        worker.state, worker.phase, worker.state_seconds = 'busy', nil, busy[name]
      end
      workers[#workers + 1], known[name] = worker, true
    else
      lost[name] = worker
    end
  end
  -- A worker of an older version says nothing but that it is busy.
  for name, age in pairs(busy) do
    if not known[name] then workers[#workers + 1] = {name = name, state = 'busy', state_seconds = age} end
  end
  return workers, lost
end

-- Frees the worker's place among the busy ones, unless it has another batch.
local function mark_idle(model, worker, idle)
  if not idle then return end
  redis.call('ZREM', K.busy .. model, worker)
  redis.call('ZREM', K.claimed .. model, worker)
  redis.call('HDEL', K.claims .. model, worker)
end
