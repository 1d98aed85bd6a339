-- Takes the oldest that wait. {model, worker, limit, batch, lease, timeout, ring}
-- -> {predictions: [{id, attempt, input, ...}], rings: [ring], told}
insist()
redis.call('ZREM', K.rings .. a.model, a.ring)

local taken = {}
while #taken < a.limit do
  local id = redis.call('ZRANGE', K.queued .. a.model, 0, 0)[1]
  if not id then break end
  local attempt, input, created_at, deadline, suspect, watchers, ttl, traceparent, tracestate =
    unpack(fields(id, 'attempt', 'input', 'created_at', 'deadline', 'suspect', 'watchers', 'result_ttl',
      'traceparent', 'tracestate'))
  if not attempt then
    redis.call('ZREM', K.queued .. a.model, id)
  elseif deadline and tonumber(deadline) <= now then
    settle(id, a.model, watchers, ttl, 'canceled', {
      error = 'the deadline passed before it was started',
      error_code = 'deadline_exceeded',
    })
    tell(id, a.model, 'deadline_exceeded')
  elseif suspect == '1' and #taken > 0 then
    break
  else
    attempt = tonumber(attempt) + 1
    redis.call('ZREM', K.queued .. a.model, id)
    redis.call('ZADD', K.running .. a.model, now + a.lease, id)
    redis.call('ZADD', K.limits, now + a.timeout, id)
    redis.call('HSET', K.prediction .. id, 'status', 'processing', 'attempt', attempt,
      'worker', a.worker, 'started_at', instant(now))
    taken[#taken + 1] = {
      id = id, attempt = attempt, input = input, queue_seconds = now - tonumber(created_at),
      traceparent = traceparent or nil, tracestate = tracestate or nil,
    }
    if suspect == '1' then break end
  end
end
if #taken > 0 then
  redis.call('ZADD', K.busy .. a.model, now + a.lease, a.worker)
  redis.call('ZADD', K.claimed .. a.model, instant(now), a.worker)
end
local rings = rings_short(a.model, a.batch)
conclude()
return cmsgpack.pack({predictions = taken, rings = rings, told = told})
