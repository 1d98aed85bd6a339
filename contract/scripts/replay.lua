-- Gives a dead prediction another life under a new id. {id, new_id, batch} -> {record, rings} or false
local r = view(a.id)
if not r then return cmsgpack.pack(false) end
if redis.call('ZREM', K.dead .. r.model, a.id) == 1 then
  accept({
    id = a.new_id, model = r.model, version = r.version, owner = r.owner, input = r.input, digest = r.digest,
    priority = r.priority, credit = tonumber(r.created_at) - tonumber(r.score), result_ttl = r.result_ttl,
    replay_of = a.id,
  }, 0)
  conclude()
elseif fields(a.new_id, 'replay_of')[1] ~= a.id then -- else: the same replay, sent again
  return cmsgpack.pack(false)
end
return cmsgpack.pack({view(a.new_id), rings_short(r.model, a.batch)})
