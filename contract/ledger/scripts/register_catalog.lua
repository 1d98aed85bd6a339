-- A gateway or a keeper answers for its catalog, until `lifetime` is over. {entries: {model: entry}, lifetime,
-- alive: [model]} -> true; of the models in `alive` it is a keeper's sign of life
require 'workers'

allow_over_maxmemory()
for model, entry in pairs(a.entries) do
  local is_new = redis.call('ZADD', K.named .. model, now + a.lifetime, entry) == 1
  expire_unused(K.named .. model, a.lifetime, is_new)
end
for _, model in ipairs(a.alive) do note_sign_of_life(model) end
return cmsgpack.pack(true)
