-- Forgets a model that has left the catalog, once nothing of it is left: no prediction, no record, no worker.
-- {model, patience} -> whether it did. One that comes back begins anew. Messages that nobody took wake nobody.
local in_use = redis.call('EXISTS', K.queued .. a.model, K.running .. a.model, K.busy .. a.model, K.dead .. a.model,
  K.unannounced .. a.model, K.workers .. a.model)
if in_use > 0 then return cmsgpack.pack(false) end
local kept_until = redis.call('ZSCORE', K.kept, a.model)
if not kept_until then
  -- An older version does not write it; `patience` is the longest that its records may be kept.
  allow_over_maxmemory()
  redis.call('ZADD', K.kept, now + a.patience, a.model)
end
if not kept_until or tonumber(kept_until) > now then return cmsgpack.pack(false) end
redis.call('DEL', K.pace .. a.model, K.counts .. a.model, K.claimed .. a.model, K.claims .. a.model,
  K.heard .. a.model, K.wakeups .. a.model, K.pins .. a.model, K.served .. a.model, K.named .. a.model,
  K.failure .. a.model)
redis.call('ZREM', K.kept, a.model)
redis.call('SREM', K.models, a.model)
return cmsgpack.pack(true)
