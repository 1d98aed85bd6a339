-- A worker says that it is there, until `lifetime` is over. {model, worker, lifetime, facts: {state, ...}}
-- -> true; `since` is when it came into the state that it is in
insist()
hear(a.model, a.lifetime)
redis.call('SADD', K.models, a.model)
local facts = a.facts
facts.since, facts.expires = now, now + a.lifetime
local packed = redis.call('HGET', K.workers .. a.model, a.worker)
if packed then
  local before = cmsgpack.unpack(packed)
  if before.state == facts.state and before.phase == facts.phase then facts.since = before.since end
end
redis.call('HSET', K.workers .. a.model, a.worker, cmsgpack.pack(facts))
-- The sweep takes out those that died one by one; this is for a model that has left the catalog. Redis counts
-- on while it is away, hence a day more.
redis.call('EXPIRE', K.workers .. a.model, math.ceil(a.lifetime) + 86400)
return cmsgpack.pack(true)
