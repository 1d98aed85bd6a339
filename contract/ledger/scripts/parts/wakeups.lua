-- Wake-ups: the messages that bring workers to claim.
require 'queue'

-- As many must be out there as fetch all that waits: one a batch. They are bounded, because every claim that leaves
-- something waiting sends more. A message may reach a worker that may not take what is pinned, so for those (of this
-- call, and `pinned` more) there is no use in more messages than workers. -> the numbers of those to send
local MOST_WAKEUPS = 64
local function missing_wakeups(model, batch, pinned)
  local wanted = math.ceil(redis.call('ZCOUNT', K.queued .. model, '-inf', UP_TO_FAR) / batch)
  local pins = (pinned or 0) + (queued_pins[model] or 0)
  if pins > 0 then
    local workers = math.max(1, redis.call('HLEN', K.workers .. model))
    wanted = wanted + math.min(math.ceil(pins / batch), workers)
  end
  if wanted == 0 then return {} end
  local missing = math.min(wanted, MOST_WAKEUPS) - redis.call('ZCARD', K.wakeups .. model)
  local wakeups = {}
  for _ = 1, missing do
    local wakeup = redis.call('INCR', K.last_wakeup)
    redis.call('ZADD', K.wakeups .. model, now, wakeup)
    wakeups[#wakeups + 1] = wakeup
  end
  return wakeups
end
