-- What each model has waiting and running, and who serves it. {models}
-- -> {model: {queued, running, busy, oldest_seconds, eta_seconds, served: {entry: version},
-- workers: [{name, state, ...}], failure: [code, detail, seconds] or false}}
local function workers_of(model)
  local busy, workers, late = {}, {}, late_since(model)
  for _, name in ipairs(redis.call('ZRANGEBYSCORE', K.busy .. model, '(' .. instant(late), '+inf')) do
    busy[name] = tonumber(redis.call('ZSCORE', K.claimed .. model, name) or now)
  end
  local announced = redis.call('HGETALL', K.workers .. model)
  for i = 1, #announced, 2 do
    local name, worker = announced[i], cmsgpack.unpack(announced[i + 1])
    if worker.expires > late then
      local since = worker.since
      if busy[name] and worker.state ~= 'draining' then
        worker.state, worker.phase, since = 'busy', nil, busy[name]
      end
      worker.name, worker.state_seconds = name, math.max(0, now - since)
      workers[#workers + 1] = worker
      busy[name] = nil
    end
  end
  -- A worker of an older version says nothing but that it is busy.
  for name, since in pairs(busy) do
    workers[#workers + 1] = {name = name, state = 'busy', state_seconds = math.max(0, now - since)}
  end
  return workers
end

local states = {}
for _, model in ipairs(a.models) do
  local flat, served = redis.call('HGETALL', K.served .. model), {}
  for i = 1, #flat, 2 do served[flat[i]] = flat[i + 1] end
  local queued = redis.call('ZCARD', K.queued .. model)
  states[model] = {
    queued = queued,
    running = redis.call('ZCARD', K.running .. model),
    busy = redis.call('ZCARD', K.busy .. model),
    oldest_seconds = oldest_seconds(model),
    eta_seconds = queued > 0 and eta(model, queued) or false,
    served = served,
    workers = workers_of(model),
    failure = failure_of(model),
  }
end
return cmsgpack.pack(states)
