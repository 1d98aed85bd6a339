-- The keeper's look at one model. {model, batch, max_attempts, dead_ttl, patience, most, depth?}
-- -> {taken_back, dead, rings, queued, running, busy, oldest_seconds, dead_total, eta_seconds}
-- `depth` is how many messages the broker holds; without it rings are taken at their word.
insist()
local taken_back, dead = 0, 0
local model = a.model
for _, id in ipairs(redis.call('ZRANGEBYSCORE', K.running .. model, '-inf', now, 'LIMIT', 0, a.most)) do
  if give_back(id, model, true, a.max_attempts, a.dead_ttl) == 'dead' then dead = dead + 1 end
  taken_back = taken_back + 1
end
redis.call('ZREMRANGEBYSCORE', K.busy .. model, '-inf', now)

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
local rings = rings_short(model, a.batch)
publish()
return cmsgpack.pack({
  taken_back = taken_back,
  dead = dead,
  rings = rings,
  queued = redis.call('ZCARD', K.queued .. model),
  running = redis.call('ZCARD', K.running .. model),
  busy = redis.call('ZCARD', K.busy .. model),
  oldest_seconds = created_at and now - tonumber(created_at) or 0,
  dead_total = redis.call('ZCARD', K.dead .. model),
  eta_seconds = eta(model, redis.call('ZCARD', K.queued .. model)) or 0,
})
