-- What each model has waiting and running. {models} -> {model: {queued, running, busy, oldest_seconds}}
local states = {}
for _, model in ipairs(a.models) do
  local oldest = redis.call('ZRANGE', K.queued .. model, 0, 0)[1]
  local created_at = oldest and redis.call('HGET', K.prediction .. oldest, 'created_at')
  states[model] = {
    queued = redis.call('ZCARD', K.queued .. model),
    running = redis.call('ZCARD', K.running .. model),
    busy = redis.call('ZCARD', K.busy .. model),
    oldest_seconds = created_at and now - tonumber(created_at) or 0,
  }
end
return cmsgpack.pack(states)
