-- A worker hands predictions back before it has an outcome.
-- {model, worker, idle, suspect, lost?, reason?, batch, max_attempts, dead_ttl, predictions: [[id, attempt]]}
-- -> {wakeups: [wakeup], endings}
-- `lost`: it costs a worker, as if that had died.
insist()
hear(a.model)
for _, p in ipairs(a.predictions) do
  local status, attempt = unpack(fields(p[1], 'status', 'attempt'))
  if status == 'processing' and tonumber(attempt) == p[2] then
    note_ending(p[1], a.model, give_back(p[1], a.model, a, a.max_attempts, a.dead_ttl))
    if a.reason then count(a.model, 'handed_back:' .. a.reason) end
  end
end
rest(a.model, a.worker, a.idle)
local wakeups = missing_wakeups(a.model, a.batch)
conclude()
return cmsgpack.pack({wakeups = wakeups, endings = endings})
