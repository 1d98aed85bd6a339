-- Announces endings that the replicas have, each once. {model, predictions: [id]} -> how many
insist()
local OUTCOME = {
  'status', 'version', 'attempt', 'worker', 'logs', 'started_at', 'completed_at', 'output', 'error', 'error_code',
  'predict_seconds',
}
local announced = 0
for _, id in ipairs(a.predictions) do
  if redis.call('ZREM', K.unannounced .. a.model, id) == 1 then
    local watchers = unpack(fields(id, 'watchers'))
    local outcome = {}
    for i, value in ipairs(fields(id, unpack(OUTCOME))) do outcome[OUTCOME[i]] = value end
    announce(watchers, {id, 'outcome', outcome})
    announced = announced + 1
  end
end
conclude()
return cmsgpack.pack(announced)
