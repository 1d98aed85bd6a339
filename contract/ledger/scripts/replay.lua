-- Gives a dead prediction another life under a new id. {id, new_id, batch, reserve?}
-- -> {record, wakeups}, false or 'no_room'
require 'lifecycle'
require 'memory'
require 'record'
require 'wakeups'

local r = read_record(a.id)
if not r then return cmsgpack.pack(false) end
if redis.call('ZSCORE', K.dead .. r.model, a.id) then
  if not take_room(read_room(a.reserve), r.model, r.input) then return cmsgpack.pack('no_room') end
  redis.call('ZREM', K.dead .. r.model, a.id)
  accept({
    id = a.new_id, model = r.model, version = r.version, pinned = r.pinned, owner = r.owner, input = r.input, digest = r.digest,
    priority = r.priority, credit = tonumber(r.created_at) - tonumber(r.score), result_ttl = r.result_ttl,
    replay_of = a.id,
  }, 0)
  write_taken_room()
  conclude()
elseif read_fields(a.new_id, 'replay_of')[1] ~= a.id then -- else: the same replay, sent again
  return cmsgpack.pack(false)
end
return cmsgpack.pack({read_record(a.new_id), missing_wakeups(r.model, a.batch)})
