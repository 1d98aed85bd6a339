-- The statuses of predictions, without reading their records. This gateway hears of all that follows.
-- {ids, watcher} -> [status or false]
require 'notify'

allow_over_maxmemory()
local found = {}
for i, id in ipairs(a.ids) do
  local status, model, watchers = unpack(read_fields(id, 'status', 'model', 'watchers'))
  if status then add_watcher(id, watchers, a.watcher) end
  found[i] = status and announced_status(id, model, status)
end
return cmsgpack.pack(found)
