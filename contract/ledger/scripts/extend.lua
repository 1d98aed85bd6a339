-- A worker's sign of life. {model, worker, lease, predictions: [[id, attempt]], left?: {id: seconds or false}}
-- -> the ids that are no longer its own: canceled, past their deadline, or given to another
-- `left` is how much is left of their hard limit by the worker's own count, which leaves out what the ledger
-- took to answer the claim; false: the model has returned, and no limit holds any more.
require 'outage'

allow_over_maxmemory()
note_sign_of_life(a.model, a.lease)
local left = a.left or {}
local function limit(id)
  if left[id] then
    redis.call('ZADD', K.limits, now + left[id], id)
  elseif left[id] == false then
    redis.call('ZREM', K.limits, id)
  end
end
local lost = {}
for _, p in ipairs(a.predictions) do
  local status, attempt = unpack(read_fields(p[1], 'status', 'attempt'))
  if status == 'processing' and tonumber(attempt) == p[2] then
    redis.call('ZADD', K.running .. a.model, now + a.lease, p[1])
    limit(p[1])
  elseif status ~= 'starting' or tonumber(attempt) ~= p[2] then -- else: taken back, but nobody has it yet
    lost[#lost + 1] = p[1]
  end
end
redis.call('ZADD', K.busy .. a.model, now + a.lease, a.worker)
return cmsgpack.pack(lost)
