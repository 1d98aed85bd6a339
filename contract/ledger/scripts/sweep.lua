-- The keeper's look at one model. {model, batch, max_attempts, dead_ttl, patience, most, depth?}
-- -> {taken_back, dead, wakeups, queued, running, workers: {name: age of its batch}, states: {word: how many workers},
-- loaded: {name: what it has loaded}, oldest_seconds,
-- pins: how many versions have some that wait for them alone, dead_total, eta_seconds,
-- counts: {what: how many, ever}, endings, unannounced}
-- `depth` is how many messages the broker holds; without it no wake-up counts as lost.
insist()
local taken_back, dead = 0, 0
local model = a.model
hear(model)
local late = late_since(model)
for _, id in ipairs(redis.call('ZRANGEBYSCORE', K.running .. model, '-inf', late, 'LIMIT', 0, a.most)) do
  local what = give_back(id, model, {lost = true, suspect = true}, a.max_attempts, a.dead_ttl)
  if what ~= 'queued' and what ~= 'gone' then dead = dead + 1 end
  note_ending(id, model, what)
  taken_back = taken_back + 1
end
redis.call('ZREMRANGEBYSCORE', K.busy .. model, '-inf', late)

-- `busy` says who is busy, `claimed` only since when: a worker of an older version does not write it.
local since = redis.call('ZRANGE', K.claimed .. model, 0, -1, 'WITHSCORES')
local claimed_at = {}
for i = 1, #since, 2 do claimed_at[since[i]] = tonumber(since[i + 1]) end
local workers = {}
for _, worker in ipairs(redis.call('ZRANGE', K.busy .. model, 0, -1)) do
  workers[worker] = math.max(0, now - (claimed_at[worker] or now))
  claimed_at[worker] = nil
end
for worker in pairs(claimed_at) do
  redis.call('ZREM', K.claimed .. model, worker)
  redis.call('HDEL', K.claims .. model, worker)
end

-- How many do what, as state.lua says it; and those that died without a word.
local states, loaded = {busy = 0}, {}
for _ in pairs(workers) do states.busy = states.busy + 1 end
local announced = redis.call('HGETALL', K.workers .. model)
for i = 1, #announced, 2 do
  local name, worker = announced[i], cmsgpack.unpack(announced[i + 1])
  if worker.expires <= late then
    redis.call('HDEL', K.workers .. model, name)
    if worker.state == 'starting' then note_lost(model, worker.phase) end
  elseif not workers[name] then
    loaded[name] = worker.loaded
    states[worker.state] = (states[worker.state] or 0) + 1
  elseif worker.state == 'draining' then
    states.busy = states.busy - 1
  end
end

-- An outage hurts nobody when nobody has a lease.
if redis.call('EXISTS', K.running .. model, K.busy .. model, K.workers .. model) == 0 then
  redis.call('DEL', K.heard .. model)
end

-- Wake-ups that the broker no longer holds were lost, unless a worker is just about to claim.
if a.depth then
  local lost = redis.call('ZCARD', K.wakeups .. model) - a.depth
  if lost > 0 then
    for _, wakeup in ipairs(redis.call('ZRANGEBYSCORE', K.wakeups .. model, '-inf', now - a.patience, 'LIMIT', 0, lost)) do
      redis.call('ZREM', K.wakeups .. model, wakeup)
    end
  end
end

local queued = redis.call('ZCARD', K.queued .. model)
local wakeups = queued > 0 and missing_wakeups(model, a.batch) or {}
conclude()
local flat, counted = redis.call('HGETALL', K.counts .. model), {}
for i = 1, #flat, 2 do counted[flat[i]] = tonumber(flat[i + 1]) end
return cmsgpack.pack({
  taken_back = taken_back,
  dead = dead,
  wakeups = wakeups,
  queued = queued,
  running = redis.call('ZCARD', K.running .. model),
  workers = workers,
  states = states,
  loaded = loaded,
  oldest_seconds = queued > 0 and oldest_seconds(model) or 0,
  pins = redis.call('SCARD', K.pins .. model),
  dead_total = redis.call('ZCARD', K.dead .. model),
  eta_seconds = queued == 0 and 0 or eta(model, queued),
  counts = counted,
  endings = endings,
  unannounced = redis.call('ZCARD', K.unannounced .. model),
})
