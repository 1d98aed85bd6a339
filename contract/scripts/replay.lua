-- Gives a dead prediction another life under a new id. {id, new_id, batch} -> {record, rings} or false
local r = view(a.id)
if not r or not redis.call('ZSCORE', K.dead .. r.model, a.id) then return cmsgpack.pack(false) end
accept({
  id = a.new_id, model = r.model, version = r.version, owner = r.owner, input = r.input, digest = r.digest,
  priority = r.priority, credit = tonumber(r.created_at) - tonumber(r.score), result_ttl = r.result_ttl,
  replay_of = a.id,
}, 0)
redis.call('ZREM', K.dead .. r.model, a.id)
return cmsgpack.pack({view(a.new_id), rings_short(r.model, a.batch)})
