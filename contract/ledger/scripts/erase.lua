-- Removes what a prediction that is over holds of its user. {id, owner} -> its record, or false
require 'record'

local owner, status, model, failed = unpack(read_fields(a.id, 'owner', 'status', 'model', 'error'))
if owner ~= a.owner then return cmsgpack.pack(false) end
if not is_over(status) then return cmsgpack.pack(read_record(a.id)) end
allow_over_maxmemory()
redis.call('HDEL', K.prediction .. a.id, 'input', 'output', 'logs')
redis.call('HSET', K.prediction .. a.id, 'data_removed', '1')
-- What a model says of an error may quote its input; the code says what it was.
if failed then redis.call('HSET', K.prediction .. a.id, 'error', 'removed with the data of the prediction') end
redis.call('DEL', K.events .. a.id)
redis.call('ZREM', K.dead .. model, a.id) -- without its input it cannot run again
return cmsgpack.pack(read_record(a.id))
