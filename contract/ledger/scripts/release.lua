-- A worker hands predictions back before it has an outcome.
-- {model, worker, idle, suspect, lost?, reason?, batch, retry, predictions: [[id, attempt]]}
-- -> {wakeups: [wakeup], endings}
-- `lost`: it costs a worker, as if that had died.
require 'retry'
require 'wakeups'
require 'workers'

allow_over_maxmemory()
note_sign_of_life(a.model)
for _, p in ipairs(a.predictions) do
  local status, attempt = unpack(read_fields(p[1], 'status', 'attempt'))
  if status == 'processing' and tonumber(attempt) == p[2] then
    note_ending(p[1], a.model, requeue_or_bury(p[1], a.model, a, a.retry))
    if a.reason then count(a.model, 'handed_back:' .. a.reason) end
  end
end
mark_idle(a.model, a.worker, a.idle)
local wakeups = missing_wakeups(a.model, a.batch)
conclude()
return cmsgpack.pack({wakeups = wakeups, endings = endings})
