-- What running predictions say of themselves: pieces of output, logs, progress.
-- {token, predictions: [{id, attempt, progress?, logs?, offset, events: [[kind, text]]}], most_logs, most_streamed,
-- most_events}
-- A report that is sent again, as its answer was lost, has the same token and adds nothing.
require 'notify'

-- Adds to the stream what goes on where it ends; -> whether there was anything. A piece of output that stands
-- elsewhere repeats what an earlier run streamed, or follows one that was lost or too much.
local function stream(p, streamed, logs)
  local ends, at, logged = tonumber(streamed or 0), p.offset, #(logs or '')
  local before = redis.call('LLEN', K.events .. p.id)
  local number = before
  for _, event in ipairs(p.events) do
    local fits = number < a.most_events
    if event[1] == 'output' then
      fits = fits and at == ends and ends + #event[2] <= a.most_streamed
      at = at + #event[2]
      if fits then ends = at end
    else
      logged = logged + #event[2]
      fits = fits and logged <= a.most_logs
    end
    if fits then
      redis.call('RPUSH', K.events .. p.id, cmsgpack.pack(event))
      number = number + 1
    end
  end
  if ends ~= tonumber(streamed or 0) then redis.call('HSET', K.prediction .. p.id, 'streamed', ends) end
  return number > before
end

for _, p in ipairs(a.predictions) do
  local status, attempt, watchers, logs, reported, streamed =
    unpack(read_fields(p.id, 'status', 'attempt', 'watchers', 'logs', 'reported', 'streamed'))
  if status == 'processing' and tonumber(attempt) == p.attempt and reported ~= a.token then
    redis.call('HSET', K.prediction .. p.id, 'reported', a.token)
    if p.progress then redis.call('HSET', K.prediction .. p.id, 'progress', p.progress) end
    if p.logs then
      local all = (logs or '') .. p.logs
      redis.call('HSET', K.prediction .. p.id, 'logs', string.sub(all, -a.most_logs))
    end
    if stream(p, streamed, logs) then notify(watchers, {p.id, 'events'}) end
  end
end
publish_notes()
return cmsgpack.pack(true)
