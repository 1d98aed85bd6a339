-- Records by id, and what they streamed from an index on. With a watcher, its gateway hears of all
-- that follows: asked and read in one step, so nothing falls between.
-- {owner?, predictions: [[id, since]], watcher?} -> [false | {record, events}]
require 'notify'
require 'record'

if a.watcher then allow_over_maxmemory() end
local views = {}
for i, wanted in ipairs(a.predictions) do
  local id, since = wanted[1], wanted[2]
  local record = read_record(id)
  if not record or (a.owner and record.owner ~= a.owner) then
    views[i] = false
  else
    if a.watcher then
      add_watcher(id, record.watchers, a.watcher)
      record.status = announced_status(id, record.model, record.status)
    end
    views[i] = {record, since >= 0 and read_events(id, since, -1) or {}}
  end
end
return cmsgpack.pack(views)
