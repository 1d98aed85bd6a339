-- The queue of a model: who waits where, for which version, and how long yet.

-- A prediction that names a version is run by that version only. It waits in `pinned` of its version by its score. It
-- also waits in `queued`, which holds all that waits, but there behind all that any worker may take. So no claim
-- meets what waits for others, and a worker of an older Soloist, which knows of no pins, takes it last.
local FAR = 1e10 -- seconds: the year 2286
local UP_TO_FAR = '(10000000000'
local function place_of(model, version) return model .. '@' .. version end
local function entry_of(version) return string.sub(version, 1, 32) end

local queued_pins = {} -- model -> how many this call queued
local function enqueue(id, model, score)
  local pin = read_fields(id, 'pinned')[1]
  if not pin then
    redis.call('ZADD', K.queued .. model, score, id)
    return
  end
  redis.call('ZADD', K.queued .. model, instant(score + FAR), id)
  redis.call('ZADD', K.pinned .. place_of(model, pin), score, id)
  redis.call('SADD', K.pins .. model, pin)
  queued_pins[model] = (queued_pins[model] or 0) + 1
end

local function unqueue(id, model, pin)
  redis.call('ZREM', K.queued .. model, id)
  if not pin then return end
  redis.call('ZREM', K.pinned .. place_of(model, pin), id)
  if redis.call('EXISTS', K.pinned .. place_of(model, pin)) == 0 then redis.call('SREM', K.pins .. model, pin) end
end

-- Where it stands among those that its next worker will take; 1 is next, false when it does not wait.
local function queue_position(id, model, version, pin, score)
  local rank = pin and redis.call('ZRANK', K.pinned .. place_of(model, pin), id)
  if rank then return rank + redis.call('ZCOUNT', K.queued .. model, '-inf', '(' .. score) + 1 end
  rank = redis.call('ZRANK', K.queued .. model, id)
  if not rank then return false end
  if not version or not score then return rank + 1 end
  return rank + redis.call('ZCOUNT', K.pinned .. place_of(model, version), '-inf', '(' .. score) + 1
end

-- Typical seconds until the prediction at `position` (1 is next) is done, or false when unknown.
local function eta_of(model, position)
  local seconds, items = unpack(redis.call('HMGET', K.pace .. model, 'seconds', 'items'))
  if not seconds then return false end
  local workers = math.max(1, redis.call('ZCARD', K.busy .. model))
  return math.ceil(position / math.max(1, tonumber(items)) / workers) * tonumber(seconds)
end

-- How long the oldest that waits, for any worker or for one of its version, has waited.
local function oldest_seconds(model)
  local heads = {redis.call('ZRANGE', K.queued .. model, 0, 0)[1]}
  for _, version in ipairs(redis.call('SMEMBERS', K.pins .. model)) do
    heads[#heads + 1] = redis.call('ZRANGE', K.pinned .. place_of(model, version), 0, 0)[1]
  end
  local least, oldest = nil, now
  for _, id in ipairs(heads) do
    local score, created_at = unpack(read_fields(id, 'score', 'created_at'))
    if created_at and (not least or tonumber(score or created_at) < least) then
      least, oldest = tonumber(score or created_at), tonumber(created_at)
    end
  end
  return now - oldest
end

-- What waits and runs of a model. `eta_seconds` is until all that waits is done, false when nothing waits or nothing
-- ran yet.
local function read_backlog(model)
  local queued = redis.call('ZCARD', K.queued .. model)
  return {
    queued = queued,
    running = redis.call('ZCARD', K.running .. model),
    oldest_seconds = queued > 0 and oldest_seconds(model) or 0,
    eta_seconds = queued > 0 and eta_of(model, queued),
  }
end
