-- Ends what ran past its deadline or its hard limit. {most, limit_slack, max_attempts, dead_ttl}
-- -> {deadlines, limits, told}
local function over(index, bound)
  return redis.call('ZRANGEBYSCORE', index, '-inf', bound, 'LIMIT', 0, a.most)
end
local function ended(id, index, status, code, sentence)
  local was, model, watchers, ttl = unpack(fields(id, 'status', 'model', 'watchers', 'result_ttl'))
  if was == 'starting' or was == 'processing' then
    settle(id, model, watchers, ttl, status, {error = sentence[was], error_code = code})
    tell(id, model, code)
    return 1
  end
  redis.call('ZREM', index, id)
  return 0
end
insist()
local deadlines, limits = 0, 0
for _, id in ipairs(over(K.deadlines, now)) do
  deadlines = deadlines + ended(id, K.deadlines, 'canceled', 'deadline_exceeded', {
    starting = 'the deadline passed before it was started',
    processing = 'the deadline passed while it ran',
  })
end
-- The worker's own watchdog comes first; this is for code that holds the interpreter's lock. Those of one
-- batch have the same limit: one alone is to blame, among several the innocent get another start.
local mates = {}
for _, id in ipairs(over(K.limits, now - a.limit_slack)) do
  local limit = redis.call('ZSCORE', K.limits, id)
  mates[limit] = mates[limit] or redis.call('ZCOUNT', K.limits, limit, limit)
  local status, model = unpack(fields(id, 'status', 'model'))
  if status == 'processing' and mates[limit] > 1 then
    tell(id, model, give_back(id, model, true, a.max_attempts, a.dead_ttl))
    limits = limits + 1
  else
    limits = limits + ended(id, K.limits, 'failed', 'timeout', {
      processing = 'it ran past the hard limit of the model',
    })
  end
end
conclude()
return cmsgpack.pack({deadlines = deadlines, limits = limits, told = told})
