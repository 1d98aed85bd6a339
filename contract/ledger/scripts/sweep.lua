-- The keeper's sweep of one model. {model, batch, retry, patience, most, depth?}
-- -> {taken_back, dead, wakeups, queued, running, workers: {name: age of its batch}, states: {state: how many workers},
-- loaded: {name: what it has loaded}, oldest_seconds,
-- pins: how many versions have some that wait for them alone, dead_total, eta_seconds,
-- counts: {what: how many, ever}, endings, unannounced}
-- `depth` is how many messages the broker holds; without it no wake-up counts as lost.
require 'retry'
require 'workers'

require 'wakeups'

allow_over_maxmemory()
local model = a.model
note_sign_of_life(model)
local late = late_since(model)

-- Leases that ran out.
local taken_back, dead = 0, 0
for _, id in ipairs(redis.call('ZRANGEBYSCORE', K.running .. model, '-inf', late, 'LIMIT', 0, a.most)) do
  local what = requeue_or_bury(id, model, {lost = true, suspect = true}, a.retry)
  if what ~= 'queued' and what ~= 'gone' then dead = dead + 1 end
  note_ending(id, model, what)
  taken_back = taken_back + 1
end

-- Workers that died.
redis.call('ZREMRANGEBYSCORE', K.busy .. model, '-inf', late)
local busy, idle = busy_workers(model, late)
for _, name in ipairs(idle) do
  redis.call('ZREM', K.claimed .. model, name)
  redis.call('HDEL', K.claims .. model, name)
end
local workers, lost = list_workers(model, busy, late)
for name, worker in pairs(lost) do
  redis.call('HDEL', K.workers .. model, name)
  if worker.state == 'starting' then note_lost_start(model, worker.phase) end
end
local states, loaded = {busy = 0}, {}
for _, worker in ipairs(workers) do
  states[worker.state] = (states[worker.state] or 0) + 1
  if not busy[worker.name] then loaded[worker.name] = worker.loaded end
end

-- An outage hurts nobody when nobody has a lease.
if redis.call('EXISTS', K.running .. model, K.busy .. model, K.workers .. model) == 0 then
  redis.call('DEL', K.heard .. model)
end

-- Wake-ups that the broker no longer holds were lost, unless a worker is just about to claim.
if a.depth then
  local missing = redis.call('ZCARD', K.wakeups .. model) - a.depth
  if missing > 0 then
    local sent = now - a.patience
    for _, wakeup in ipairs(redis.call('ZRANGEBYSCORE', K.wakeups .. model, '-inf', sent, 'LIMIT', 0, missing)) do
      redis.call('ZREM', K.wakeups .. model, wakeup)
    end
  end
end
local queued = redis.call('ZCARD', K.queued .. model)
local wakeups = queued > 0 and missing_wakeups(model, a.batch) or {}
conclude()

local flat, counted = redis.call('HGETALL', K.counts .. model), {}
for i = 1, #flat, 2 do counted[flat[i]] = tonumber(flat[i + 1]) end
local found = read_backlog(model)
found.taken_back, found.dead, found.wakeups, found.endings = taken_back, dead, wakeups, endings
found.workers, found.states, found.loaded = busy, states, loaded
found.pins = redis.call('SCARD', K.pins .. model)
found.dead_total = redis.call('ZCARD', K.dead .. model)
found.unannounced = redis.call('ZCARD', K.unannounced .. model)
found.counts = counted
return cmsgpack.pack(found)
