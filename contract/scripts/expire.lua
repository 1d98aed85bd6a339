-- Ends what ran past its deadline or its hard limit. {most, limit_slack} -> {deadlines, limits}
local function over(index, bound)
  return redis.call('ZRANGEBYSCORE', index, '-inf', bound, 'LIMIT', 0, a.most)
end
local function ended(id, index, status, code, sentence)
  local was, model, watchers, ttl = unpack(fields(id, 'status', 'model', 'watchers', 'result_ttl'))
  if was == 'starting' or was == 'processing' then
    settle(id, model, watchers, ttl, status, {error = sentence[was], error_code = code})
    return 1
  end
  redis.call('ZREM', index, id)
  return 0
end
local deadlines, limits = 0, 0
for _, id in ipairs(over(K.deadlines, now)) do
  deadlines = deadlines + ended(id, K.deadlines, 'canceled', 'deadline_exceeded', {
    starting = 'the deadline passed before it was started',
    processing = 'the deadline passed while it ran',
  })
end
-- The worker's own watchdog comes first; this is for code that holds the interpreter's lock.
for _, id in ipairs(over(K.limits, now - a.limit_slack)) do
  limits = limits + ended(id, K.limits, 'failed', 'timeout', {
    processing = 'it ran past the hard limit of the model',
  })
end
publish()
return cmsgpack.pack({deadlines = deadlines, limits = limits})
