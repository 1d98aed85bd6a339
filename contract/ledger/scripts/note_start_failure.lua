-- A worker could not start, and says why before it ends. {model, worker, code, detail} -> true
require 'workers'

allow_over_maxmemory()
if redis.call('HDEL', K.workers .. a.model, a.worker) == 1 then redis.call('INCR', K.changes) end
note_start_failure(a.model, a.code, a.detail)
return cmsgpack.pack(true)
