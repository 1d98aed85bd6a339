-- Writes and announces the outcomes of a batch in one atomic step.
-- {model, worker, idle, seconds, items, predictions: [{id, attempt, status, outcome}]}
-- -> the ids that were fenced off: another attempt, a cancel or the deadline came first
-- An attempt that was given back and that nobody has claimed since may still be finished: a second run would
-- only repeat it.
require 'lifecycle'
require 'memory'
require 'workers'

allow_over_maxmemory()
note_sign_of_life(a.model)
local fenced, bytes = {}, 0
for _, p in ipairs(a.predictions) do
  local status, attempt, watchers, ttl, reported =
    unpack(read_fields(p.id, 'status', 'attempt', 'watchers', 'result_ttl', 'reported'))
  bytes = bytes + #(p.outcome.output or p.outcome.error or '')
  -- What it streamed is kept beside its output.
  if reported then
    bytes = bytes + #(p.outcome.output or '') + 32 * redis.call('LLEN', K.events .. p.id)
      + redis.call('HSTRLEN', K.prediction .. p.id, 'logs')
  end
  if (status == 'processing' or status == 'starting') and tonumber(attempt) == p.attempt then
    end_prediction(p.id, a.model, watchers, ttl, p.status, p.outcome)
  elseif status ~= p.status or tonumber(attempt) ~= p.attempt then -- else: the same finish, sent again
    fenced[#fenced + 1] = p.id
  end
end
if a.items > 0 then
  -- An exponential average over about ten batches: what an ETA is made of.
  local seconds, items = unpack(redis.call('HMGET', K.pace .. a.model, 'seconds', 'items'))
  seconds = seconds and tonumber(seconds) * 0.9 + a.seconds * 0.1 or a.seconds
  items = items and tonumber(items) * 0.9 + a.items * 0.1 or a.items
  redis.call('HSET', K.pace .. a.model, 'seconds', instant(seconds), 'items', instant(items))
end
if #a.predictions > 0 then note_output_bytes(a.model, #a.predictions, bytes) end
mark_idle(a.model, a.worker, a.idle)
conclude()
return cmsgpack.pack(fenced)
