-- A worker ends in good order. {model, worker} -> true
if redis.call('HDEL', K.workers .. a.model, a.worker) == 1 then redis.call('INCR', K.changes) end
return cmsgpack.pack(true)
