-- Cancels a prediction at any stage. {id, owner} -> its record, or false
require 'lifecycle'
require 'record'

local owner, status, model, watchers, ttl =
  unpack(read_fields(a.id, 'owner', 'status', 'model', 'watchers', 'result_ttl'))
if owner ~= a.owner then return cmsgpack.pack(false) end
if not is_over(status) then
  allow_over_maxmemory()
  end_prediction(a.id, model, watchers, ttl, 'canceled', {})
  conclude()
end
return cmsgpack.pack(read_record(a.id))
