-- A worker ends. {model, worker, early?} -> true
-- `early`: before it was ready, and nobody told it to.
local packed = redis.call('HGET', K.workers .. a.model, a.worker)
if packed then
  insist()
  redis.call('HDEL', K.workers .. a.model, a.worker)
  redis.call('INCR', K.changes)
  if a.early then note_lost(a.model, cmsgpack.unpack(packed).phase) end
end
return cmsgpack.pack(true)
