-- The keeper's look at one model. {model, batch, max_attempts, dead_ttl, patience, most, depth?}
-- -> {taken_back, dead, rings, queued, running, workers: {name: age of its batch}, oldest_seconds,
-- dead_total, eta_seconds, counts: {what: how many, ever}, told}
-- `depth` is how many messages the broker holds; without it rings are taken at their word.
insist()
local taken_back, dead = 0, 0
local model = a.model
for _, id in ipairs(redis.call('ZRANGEBYSCORE', K.running .. model, '-inf', now, 'LIMIT', 0, a.most)) do
  local fate = give_back(id, model, true, a.max_attempts, a.dead_ttl)
  if fate == 'dead' then dead = dead + 1 end
  tell(id, model, fate)
  taken_back = taken_back + 1
end
redis.call('ZREMRANGEBYSCORE', K.busy .. model, '-inf', now)

-- `busy` says who is busy, `claimed` only since when: a worker of an older version does not write it.
local since = redis.call('ZRANGE', K.claimed .. model, 0, -1, 'WITHSCORES')
local claimed_at = {}
for i = 1, #since, 2 do claimed_at[since[i]] = tonumber(since[i + 1]) end
local workers = {}
for _, worker in ipairs(redis.call('ZRANGE', K.busy .. model, 0, -1)) do
  workers[worker] = math.max(0, now - (claimed_at[worker] or now))
  claimed_at[worker] = nil
end
for worker in pairs(claimed_at) do redis.call('ZREM', K.claimed .. model, worker) end

-- Workers that died without a word.
local announced = redis.call('HGETALL', K.workers .. model)
for i = 1, #announced, 2 do
  if cmsgpack.unpack(announced[i + 1]).expires <= now then
    redis.call('HDEL', K.workers .. model, announced[i])
  end
end

-- Rings that the broker no longer holds were lost, unless a worker is just about to claim.
if a.depth then
  local lost = redis.call('ZCARD', K.rings .. model) - a.depth
  if lost > 0 then
    for _, ring in ipairs(redis.call('ZRANGEBYSCORE', K.rings .. model, '-inf', now - a.patience, 'LIMIT', 0, lost)) do
      redis.call('ZREM', K.rings .. model, ring)
    end
  end
end

local oldest = redis.call('ZRANGE', K.queued .. model, 0, 0)[1]
local created_at = oldest and redis.call('HGET', K.prediction .. oldest, 'created_at')
local queued = redis.call('ZCARD', K.queued .. model)
local rings = rings_short(model, a.batch)
conclude()
local flat, counted = redis.call('HGETALL', K.counts .. model), {}
for i = 1, #flat, 2 do counted[flat[i]] = tonumber(flat[i + 1]) end
return cmsgpack.pack({
  taken_back = taken_back,
  dead = dead,
  rings = rings,
  queued = queued,
  running = redis.call('ZCARD', K.running .. model),
  workers = workers,
  oldest_seconds = created_at and now - tonumber(created_at) or 0,
  dead_total = redis.call('ZCARD', K.dead .. model),
  eta_seconds = queued == 0 and 0 or eta(model, queued),
  counts = counted,
  told = told,
})
