-- A page of an owner's predictions, newest first. {owner, before?, after?, model?, status?, limit, look}
-- -> {records, more}; `look` bounds how many records one call reads to find `limit` that fit
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
      records[#records + 1] = view(id)
    end
  end
end
return cmsgpack.pack({records = records, last = last or false, more = read < #ids or #ids == a.look})
