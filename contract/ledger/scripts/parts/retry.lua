-- The retry decision: whether a prediction that lost its worker, or was handed back, starts once more.
-- Its numbers come with the call (contract/ledger/retry.py).
require 'lifecycle'

-- Back to the queue, at once and in its old place; or failed and kept aside on the dead list, when it lost
-- `max_attempts` workers or was handed back too often. Every start ends in one of the two ways, so the record counts
-- the hand-backs, and the rest of its attempts were lost. A suspect may be why its worker ended: it runs alone from
-- now on. `how` has `lost` and `suspect`. -> 'queued', 'gone' or its error's code
local function requeue_or_bury(id, model, how, retry)
  local attempt, watchers, score, handed_back = unpack(read_fields(id, 'attempt', 'watchers', 'score', 'handed_back'))
  redis.call('ZREM', K.running .. model, id)
  redis.call('ZREM', K.limits, id)
  if not attempt then return 'gone' end -- evicted: possible with durability none
  handed_back = (tonumber(handed_back) or 0) + (how.lost and 0 or 1)
  local lost = tonumber(attempt) - handed_back
  local code, sentence
  if how.lost and lost >= retry.max_attempts then
    code, sentence = 'worker_lost', 'it lost its worker ' .. lost .. ' times'
  elseif handed_back >= retry.most_hand_backs then
    code = 'too_many_hand_backs'
    sentence = 'workers that had to end handed it back ' .. handed_back .. ' times before it was done'
  end
  redis.call('HSET', K.prediction .. id, 'handed_back', handed_back)
  if code then
    redis.call('ZADD', K.dead .. model, now, id)
    end_prediction(id, model, watchers, retry.dead_ttl, 'failed', {error = sentence, error_code = code})
    return code
  end
  redis.call('HSET', K.prediction .. id, 'status', 'starting')
  if how.suspect then redis.call('HSET', K.prediction .. id, 'suspect', '1') end
  redis.call('HDEL', K.prediction .. id, 'claimed_with')
  enqueue(id, model, score)
  return 'queued'
end
