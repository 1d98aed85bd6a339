-- Records predictions as accepted. {models: {name: {max_queue, max_batch}}, predictions: [{id, ...}],
-- not_after?} -> {results: [[what, ...]], rings: {model: [ring]}, now}
-- After `not_after` the callers were told that nothing was recorded, and so it must be.
if a.not_after and now > a.not_after then
  return cmsgpack.pack({results = false, rings = {}, now = now})
end

local results, fresh = {}, {}

-- The prediction that this one repeats, by its id or its Idempotency-Key.
local function earlier(p)
  local id = p.id
  if p.idempotency_key then
    id = redis.call('HGET', K.idempotency .. p.owner, p.idempotency_key) or id
  end
  local owner, digest = unpack(fields(id, 'owner', 'digest'))
  if not owner then return nil end
  if owner ~= p.owner or digest ~= p.digest then return {'conflict', id} end
  if p.watchers then watch(id, redis.call('HGET', K.prediction .. id, 'watchers'), p.watchers) end
  return {'repeated', view(id)}
end

for i, p in ipairs(a.predictions) do
  local result = earlier(p)
  if not result then
    local waiting = redis.call('ZCARD', K.queued .. p.model)
    if waiting >= a.models[p.model].max_queue then
      result = {'full', waiting, eta(p.model, 1)}
    else
      result = accept(p, i)
      fresh[p.model] = true
    end
  end
  results[i] = result
end

local rings = {}
for model in pairs(fresh) do
  redis.call('SADD', K.models, model)
  rings[model] = rings_short(model, a.models[model].max_batch)
end
conclude()
return cmsgpack.pack({results = results, rings = rings, now = now})
