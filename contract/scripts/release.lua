-- A worker hands predictions back before it has an outcome.
-- {model, worker, idle, suspect, batch, max_attempts, dead_ttl, predictions: [[id, attempt]]} -> rings
insist()
for _, p in ipairs(a.predictions) do
  local status, attempt = unpack(fields(p[1], 'status', 'attempt'))
  if status == 'processing' and tonumber(attempt) == p[2] then
    give_back(p[1], a.model, a.suspect, a.max_attempts, a.dead_ttl)
  end
end
rest(a.model, a.worker, a.idle)
local rings = rings_short(a.model, a.batch)
publish()
return cmsgpack.pack(rings)
