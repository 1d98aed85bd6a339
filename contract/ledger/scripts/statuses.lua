-- The statuses of predictions, without reading their records; this gateway is told of all that follows.
-- {ids, watcher} -> [status or false]
insist()
local found = {}
for i, id in ipairs(a.ids) do
  local status, model, watchers = unpack(fields(id, 'status', 'model', 'watchers'))
  if status then watch(id, watchers, a.watcher) end
  found[i] = status and told_status(id, model, status)
end
return cmsgpack.pack(found)
