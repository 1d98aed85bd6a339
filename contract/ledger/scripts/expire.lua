-- Ends what ran past its deadline or its hard limit. {most, limit_slack, retry}
-- -> {deadlines, limits, endings}
require 'outage'
require 'record'
require 'retry'

local function over(index, bound)
  return redis.call('ZRANGEBYSCORE', index, '-inf', bound, 'LIMIT', 0, a.most)
end
local function ended(id, index, status, code, sentence)
  local was, model, watchers, ttl = unpack(read_fields(id, 'status', 'model', 'watchers', 'result_ttl'))
  if not is_over(was) then
    end_prediction(id, model, watchers, ttl, status, {error = sentence[was], error_code = code})
    note_ending(id, model, code)
    return 1
  end
  redis.call('ZREM', index, id)
  return 0
end
allow_over_maxmemory()
local deadlines, limits = 0, 0
for _, id in ipairs(over(K.deadlines, now)) do
  deadlines = deadlines + ended(id, K.deadlines, 'canceled', 'deadline_exceeded', {
    starting = 'the deadline passed before it was started',
    processing = 'the deadline passed while it ran',
  })
end
-- The worker's own watchdog comes first; this is for code that holds the interpreter's lock. One that was claimed
-- alone is to blame; of several the innocent get another start, whatever is left of them: the one that hangs
-- may be canceled by now.
local since, mates = {}, {}
local function late(model, limit)
  if not since[model] then
    note_sign_of_life(model)
    since[model] = late_since(model) - a.limit_slack
  end
  return limit <= since[model]
end
-- Whose lease ran out in an outage and was not renewed after it is gone with its worker, as when a node takes the
-- ledger along: that hung in no time that anybody has seen. The sweep gives it back.
local function lost_in_outage(id, model)
  local from, till = unpack(redis.call('HMGET', K.heard .. model, 'from', 'till'))
  local lease = till and tonumber(redis.call('ZSCORE', K.running .. model, id))
  return lease and lease > tonumber(from) and lease < tonumber(till) and lease <= now
end
local function several(claimed_with, limit)
  if claimed_with then return tonumber(claimed_with) > 1 end
  -- Claimed by a worker of an older version: those of one batch have the same limit.
  mates[limit] = mates[limit] or redis.call('ZCOUNT', K.limits, limit, limit)
  return mates[limit] > 1
end
for _, id in ipairs(over(K.limits, now - a.limit_slack)) do
  local limit = redis.call('ZSCORE', K.limits, id)
  local status, model, claimed_with = unpack(read_fields(id, 'status', 'model', 'claimed_with'))
  if status ~= 'processing' then
    redis.call('ZREM', K.limits, id)
  elseif late(model, tonumber(limit)) and not lost_in_outage(id, model) then
    limits = limits + 1
    if several(claimed_with, limit) then
      note_ending(id, model, requeue_or_bury(id, model, {suspect = true}, a.retry))
    else
      ended(id, K.limits, 'failed', 'timeout', {processing = 'it ran past the hard limit of the model'})
    end
  end
end
conclude()
return cmsgpack.pack({deadlines = deadlines, limits = limits, endings = endings})
