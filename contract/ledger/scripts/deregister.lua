-- A worker ends. {model, worker, early?} -> true
-- `early`: before it was ready, and nobody told it to.
require 'workers'

local packed = redis.call('HGET', K.workers .. a.model, a.worker)
if packed then
  allow_over_maxmemory()
  redis.call('HDEL', K.workers .. a.model, a.worker)
  redis.call('INCR', K.changes)
  if a.early then note_lost_start(a.model, cmsgpack.unpack(packed).phase) end
end
return cmsgpack.pack(true)
