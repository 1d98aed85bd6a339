-- Deletes records that outlived their retention. {most} -> {how many, seconds until the next is due or false}
require 'memory'

local ids = redis.call('ZRANGEBYSCORE', K.retained, '-inf', now, 'LIMIT', 0, a.most)
for _, id in ipairs(ids) do
  local owner, model, idempotency_key = unpack(read_fields(id, 'owner', 'model', 'idempotency_key'))
  if owner then
    redis.call('ZREM', K.created .. owner, id)
    redis.call('ZREM', K.dead .. model, id)
    redis.call('ZREM', K.unannounced .. model, id)
    if idempotency_key then redis.call('HDEL', K.idempotency .. owner, idempotency_key) end
  end
  redis.call('DEL', K.prediction .. id, K.events .. id)
  redis.call('ZREM', K.retained, id)
end
return cmsgpack.pack({#ids, until_more_room()})
