-- Cancels a prediction at any stage. {id, owner} -> its record, or false
local owner, status, model, watchers, ttl =
  unpack(fields(a.id, 'owner', 'status', 'model', 'watchers', 'result_ttl'))
if owner ~= a.owner then return cmsgpack.pack(false) end
if status == 'starting' or status == 'processing' then
  insist()
  settle(a.id, model, watchers, ttl, 'canceled', {})
  conclude()
end
return cmsgpack.pack(view(a.id))
