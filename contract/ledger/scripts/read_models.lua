-- What each model has waiting and running, and who serves it. {models}
-- -> {model: {queued, running, busy, oldest_seconds, eta_seconds, served: {entry: version},
-- workers: [{name, state, ...}], failure: [code, detail, seconds] or false}}
require 'queue'

require 'workers'

local found = {}
for _, model in ipairs(a.models) do
  local late = late_since(model)
  local flat, served = redis.call('HGETALL', K.served .. model), {}
  for i = 1, #flat, 2 do served[flat[i]] = flat[i + 1] end
  local one = read_backlog(model)
  one.busy = redis.call('ZCARD', K.busy .. model)
  one.served = served
  one.workers = list_workers(model, busy_workers(model, late), late)
  one.failure = read_start_failure(model)
  found[model] = one
end
return cmsgpack.pack(found)
