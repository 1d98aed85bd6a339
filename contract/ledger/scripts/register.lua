-- A worker says that it is there, until `lifetime` is over. {model, worker, lifetime, facts: {state, ...}}
-- -> true; `since` is when it came into the state that it is in
require 'queue'
require 'workers'

allow_over_maxmemory()
note_sign_of_life(a.model, a.lifetime)
local facts = a.facts
facts.since, facts.expires = now, now + a.lifetime
local packed = redis.call('HGET', K.workers .. a.model, a.worker)
local before = packed and cmsgpack.unpack(packed) or {}
local is_same = before.start == facts.start -- else the same name starts anew: in a pod that is its next container
if is_same and before.state == facts.state and before.phase == facts.phase then
  facts.since = before.since
else
  redis.call('INCR', K.changes)
  if facts.state == 'ready' then
    redis.call('DEL', K.failure .. a.model)
  elseif before.state == 'starting' and not is_same then
    note_lost_start(a.model, before.phase)
  end
end
if not packed then redis.call('SADD', K.models, a.model) end
redis.call('HSET', K.workers .. a.model, a.worker, cmsgpack.pack(facts))

-- What the entries of its model hold by now; those that nobody has any more are forgotten, once there are many.
local MOST_ENTRIES = 16
if facts.model_version and facts.state == 'ready' then
  local is_new = redis.call('HSET', K.served .. a.model, entry_of(facts.model_version), facts.model_version) == 1
  if is_new and redis.call('HLEN', K.served .. a.model) > MOST_ENTRIES then
    local live = live_versions(a.model)
    local served = redis.call('HGETALL', K.served .. a.model)
    for i = 1, #served, 2 do
      if not live[served[i + 1]] and not redis.call('ZSCORE', K.named .. a.model, served[i]) then
        redis.call('HDEL', K.served .. a.model, served[i])
      end
    end
  end
end

-- The sweep takes out those that died one by one; this is for a model that has left the catalog.
expire_unused(K.workers .. a.model, a.lifetime, not packed)
return cmsgpack.pack(true)
