-- Records by id, and what they streamed from an index on. With a watcher, its gateway is told of all
-- that follows: asked and read in one step, so nothing falls between.
-- {owner?, predictions: [[id, since]], watcher?} -> [false | {record, events}]
if a.watcher then insist() end
local views = {}
for i, wanted in ipairs(a.predictions) do
  local id, since = wanted[1], wanted[2]
  local record = view(id)
  if not record or (a.owner and record.owner ~= a.owner) then
    views[i] = false
  else
    if a.watcher then
      watch(id, record.watchers, a.watcher)
      record.status = told_status(id, record.model, record.status)
    end
    local events = since >= 0 and redis.call('LRANGE', K.events .. id, since, -1) or {}
    for n, event in ipairs(events) do events[n] = cmsgpack.unpack(event) end
    views[i] = {record, events}
  end
end
return cmsgpack.pack(views)
