-- Records as readers get them, and how large they are.
require 'queue'

local function is_over(status) return status ~= 'starting' and status ~= 'processing' end

-- All fields of a record, and where it stands in the queue; false when there is none.
local function read_record(id)
  local flat = redis.call('HGETALL', K.prediction .. id)
  if #flat == 0 then return false end
  local record = {}
  for i = 1, #flat, 2 do record[flat[i]] = flat[i + 1] end
  if record.status == 'starting' then
    local position = queue_position(id, record.model, record.version, record.pinned, record.score)
    if position then
      record.queue_position = position
      record.eta_seconds = eta_of(record.model, position)
    end
  end
  return record
end

-- A record without what may be large, and without what is nobody else's business.
local BRIEF = {
  'id', 'model', 'version', 'status', 'attempt', 'priority', 'worker', 'created_at', 'started_at',
  'completed_at', 'error_code', 'progress', 'predict_seconds', 'sequence', 'data_removed',
}
local function read_brief(id)
  local record = {}
  for i, value in ipairs(read_fields(id, unpack(BRIEF))) do record[BRIEF[i]] = value end
  return record.id and record
end

-- How large what may be large in a record is. Redis does nothing else while a script reads, about 10 ms a
-- megabyte; so the size is asked for first.
local function record_bytes(id)
  local bytes = 0
  for _, field in ipairs({'input', 'output', 'logs', 'error'}) do
    bytes = bytes + redis.call('HSTRLEN', K.prediction .. id, field)
  end
  return bytes
end

-- What a prediction streamed, from the event `since` on, at most so many.
local function read_events(id, since, last)
  local events = redis.call('LRANGE', K.events .. id, since, last)
  for n, event in ipairs(events) do events[n] = cmsgpack.unpack(event) end
  return events
end
