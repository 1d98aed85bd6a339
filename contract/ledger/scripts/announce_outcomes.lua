-- Announces outcomes that the replicas have, each once. {model, predictions: [id]} -> how many
require 'notify'

allow_over_maxmemory()
local OUTCOME = {
  'status', 'version', 'attempt', 'worker', 'logs', 'started_at', 'completed_at', 'output', 'error', 'error_code',
  'predict_seconds',
}
local announced = 0
for _, id in ipairs(a.predictions) do
  if redis.call('ZREM', K.unannounced .. a.model, id) == 1 then
    local watchers = unpack(read_fields(id, 'watchers'))
    local outcome = {}
    for i, value in ipairs(read_fields(id, unpack(OUTCOME))) do outcome[OUTCOME[i]] = value end
    notify(watchers, {id, 'outcome', outcome})
    announced = announced + 1
  end
end
publish_notes()
return cmsgpack.pack(announced)
