-- Removes what a prediction that is over holds of its user. {id, owner} -> its record, or false
local owner, status, model, failed = unpack(fields(a.id, 'owner', 'status', 'model', 'error'))
if owner ~= a.owner then return cmsgpack.pack(false) end
if status == 'starting' or status == 'processing' then return cmsgpack.pack(view(a.id)) end
insist()
redis.call('HDEL', K.prediction .. a.id, 'input', 'output', 'logs')
redis.call('HSET', K.prediction .. a.id, 'data_removed', '1')
-- What a model says of an error may quote its input; the code says what it was.
if failed then redis.call('HSET', K.prediction .. a.id, 'error', 'removed with the data of the prediction') end
redis.call('DEL', K.events .. a.id)
redis.call('ZREM', K.dead .. model, a.id) -- without its input it cannot run again
return cmsgpack.pack(view(a.id))
