-- A page of an owner's predictions, newest first. {owner, before?, after?, model?, status?, limit, look,
-- brief} -> {records, last, more, now}; `look` bounds how many records one call reads to find `limit` that fit
local BRIEF = {
  'id', 'model', 'version', 'status', 'attempt', 'priority', 'worker', 'created_at', 'started_at',
  'completed_at', 'error_code', 'progress', 'predict_seconds', 'sequence', 'data_removed',
}
local function brief(id)
  local record = {}
  for i, value in ipairs(fields(id, unpack(BRIEF))) do record[BRIEF[i]] = value end
  return record
end

local ids
if a.after then
  ids = redis.call('ZRANGEBYSCORE', K.created .. a.owner, '(' .. a.after, '+inf', 'LIMIT', 0, a.look)
else
  local top = a.before and '(' .. a.before or '+inf'
  ids = redis.call('ZREVRANGEBYSCORE', K.created .. a.owner, top, '-inf', 'LIMIT', 0, a.look)
end
local records, read, last = {}, 0, nil
for _, id in ipairs(ids) do
  if #records == a.limit then break end
  read = read + 1
  local model, status, sequence = unpack(fields(id, 'model', 'status', 'sequence'))
  if sequence then
    last = sequence
    if (not a.model or model == a.model) and (not a.status or status == a.status) then
      records[#records + 1] = a.brief and brief(id) or view(id)
    end
  end
end
return cmsgpack.pack({
  records = records, last = last or false, more = read < #ids or #ids == a.look, now = now,
})
