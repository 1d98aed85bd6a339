-- What running predictions say of themselves: pieces of output, logs, progress.
-- {token, predictions: [{id, attempt, progress?, logs?, events: [[kind, text]]}], most_logs}
-- A report that is sent again, as its answer was lost, has the same token and adds nothing.
for _, p in ipairs(a.predictions) do
  local status, attempt, watchers, logs, reported =
    unpack(fields(p.id, 'status', 'attempt', 'watchers', 'logs', 'reported'))
  if status == 'processing' and tonumber(attempt) == p.attempt and reported ~= a.token then
    redis.call('HSET', K.prediction .. p.id, 'reported', a.token)
    if p.progress then redis.call('HSET', K.prediction .. p.id, 'progress', p.progress) end
    if p.logs then
      local all = (logs or '') .. p.logs
      redis.call('HSET', K.prediction .. p.id, 'logs', string.sub(all, -a.most_logs))
    end
    for _, event in ipairs(p.events) do
      redis.call('RPUSH', K.events .. p.id, cmsgpack.pack(event))
    end
    if #p.events > 0 then announce(watchers, {p.id, 'events'}) end
  end
end
conclude()
return cmsgpack.pack(true)
