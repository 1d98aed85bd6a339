-- The memory of the ledger's Redis: what is used, what is reserved, and what new predictions may take.

-- Bytes that an output of the model will take: as the last ones did; before there was any, as many as the
-- input, and at least so many.
local LEAST_OUTPUT = 4096
local typical = {}
local function output_bytes(model, input_bytes)
  if typical[model] == nil then
    local bytes, outputs = unpack(redis.call('HMGET', K.pace .. model, 'bytes', 'outputs'))
    typical[model] = bytes and tonumber(bytes) / tonumber(outputs) or false
  end
  return typical[model] or math.max(LEAST_OUTPUT, input_bytes)
end

-- Notes that outputs of the model came, and their bytes together: an exponential average over about ten calls.
local function note_output_bytes(model, outputs, bytes)
  local was, of = unpack(redis.call('HMGET', K.pace .. model, 'bytes', 'outputs'))
  if was then
    bytes, outputs = tonumber(was) * 0.9 + bytes * 0.1, tonumber(of) * 0.9 + outputs * 0.1
  end
  redis.call('HSET', K.pace .. model, 'bytes', instant(bytes), 'outputs', instant(outputs))
end

-- The memory: {limit, used, reserved}; a limit of 0 is none. Reserved is what new predictions must leave: an
-- eighth of it (or what the settings say), and the outputs of all that is not over. What was accepted can end
-- in that, and a broker in the same Redis goes on; at `maxmemory` itself nobody could push a message.
local MIB = 1048576
local function read_memory(reserve)
  local info = '\n' .. redis.call('INFO', 'memory')
  local function figure(name) return tonumber(string.match(info, '\n' .. name .. ':(%d+)') or 0) end
  local limit = figure('maxmemory')
  local reserved = reserve or math.min(math.max(limit / 8, 16 * MIB), limit / 2)
  for _, model in ipairs(redis.call('SMEMBERS', K.models)) do
    local open = redis.call('ZCARD', K.queued .. model) + redis.call('ZCARD', K.running .. model)
    if open > 0 then
      local oldest = redis.call('ZRANGE', K.queued .. model, 0, 0)[1]
      local input_bytes = oldest and redis.call('HSTRLEN', K.prediction .. oldest, 'input') or 0
      reserved = reserved + open * output_bytes(model, input_bytes)
    end
  end
  return {
    limit = limit, used = figure('used_memory') - figure('mem_not_counted_for_evict'), reserved = reserved,
  }
end

-- The bytes that new predictions may take. INFO costs about as much as a create, so one reading serves all
-- gateways for a moment, less what they accepted since.
local READING_SECONDS = 0.25
local ENDLESS = 1e15
local function read_room(reserve)
  local bytes, good_until = unpack(redis.call('HMGET', K.room, 'bytes', 'good_until'))
  local ahead = good_until and tonumber(good_until) - now
  local left = tonumber(bytes)
  if not ahead or ahead < 0 or ahead > READING_SECONDS then
    local m = read_memory(reserve)
    left = m.limit > 0 and math.floor(m.limit - m.used - m.reserved) or ENDLESS
    allow_over_maxmemory()
    redis.call('HSET', K.room, 'bytes', string.format('%.0f', left), 'good_until', instant(now + READING_SECONDS))
  elseif left <= 0 then
    allow_over_maxmemory() -- for those that repeat an earlier one
  end
  return left
end

-- Takes room for a prediction out of what `read_room` answered. False when there is too little.
local RECORD_BYTES = 2048
local taken_bytes = 0 -- by this call
local function take_room(left, model, input)
  local bytes = math.ceil(RECORD_BYTES + #input + output_bytes(model, #input))
  if taken_bytes + bytes > left then return false end
  taken_bytes = taken_bytes + bytes
  return true
end

-- Writes what this call has taken, for the next ones.
local function write_taken_room()
  if taken_bytes > 0 then redis.call('HINCRBY', K.room, 'bytes', -taken_bytes) end
end

-- Seconds until the next records are deleted: the soonest that there may be more room.
local function until_more_room()
  local next_one = redis.call('ZRANGE', K.retained, 0, 0, 'WITHSCORES')[2]
  return next_one and math.max(0, tonumber(next_one) - now) or false
end
