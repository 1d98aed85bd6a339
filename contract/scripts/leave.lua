-- A worker ends in good order. {model, worker} -> true
redis.call('HDEL', K.workers .. a.model, a.worker)
return cmsgpack.pack(true)
