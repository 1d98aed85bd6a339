-- A worker's sign of life. {model, worker, lease, predictions: [[id, attempt]]}
-- -> the ids that are no longer its own: canceled, past their deadline, or given to another
insist()
local lost = {}
for _, p in ipairs(a.predictions) do
  local status, attempt = unpack(fields(p[1], 'status', 'attempt'))
  if status == 'processing' and tonumber(attempt) == p[2] then
    redis.call('ZADD', K.running .. a.model, now + a.lease, p[1])
  else
    lost[#lost + 1] = p[1]
  end
end
redis.call('ZADD', K.busy .. a.model, now + a.lease, a.worker)
return cmsgpack.pack(lost)
