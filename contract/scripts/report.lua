-- What running predictions say of themselves: pieces of output, logs, progress.
-- {predictions: [{id, attempt, progress?, logs?, events: [[kind, text]]}], most_logs}
for _, p in ipairs(a.predictions) do
  local status, attempt, watchers, logs =
    unpack(fields(p.id, 'status', 'attempt', 'watchers', 'logs'))
  if status == 'processing' and tonumber(attempt) == p.attempt then
    if p.progress then redis.call('HSET', K.prediction .. p.id, 'progress', p.progress) end
    if p.logs then
      local all = (logs or '') .. p.logs
      redis.call('HSET', K.prediction .. p.id, 'logs', string.sub(all, -a.most_logs))
    end
    if #p.events > 0 then
      local packed = {}
      for i, event in ipairs(p.events) do packed[i] = cmsgpack.pack(event) end
      redis.call('RPUSH', K.events .. p.id, unpack(packed))
      announce(watchers, {p.id, 'events'})
    end
  end
end
publish()
return cmsgpack.pack(true)
