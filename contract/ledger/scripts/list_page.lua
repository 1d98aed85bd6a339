-- A page of an owner's predictions, newest first, or oldest first with `after`. {owner, before?, after?, model?, status?,
-- limit, most_read, most_bytes, brief} -> {records, last, more, now}. `most_read` bounds how many records one call
-- reads to find `limit` that fit, and `most_bytes` how large they are together, unless a single one is larger.
require 'record'

local ids
if a.after then
  ids = redis.call('ZRANGEBYSCORE', K.created .. a.owner, '(' .. a.after, '+inf', 'LIMIT', 0, a.most_read)
else
  local top = a.before and '(' .. a.before or '+inf'
  ids = redis.call('ZREVRANGEBYSCORE', K.created .. a.owner, top, '-inf', 'LIMIT', 0, a.most_read)
end
local records, read, last, bytes = {}, 0, nil, 0
for _, id in ipairs(ids) do
  if #records == a.limit then break end
  local model, status, sequence = unpack(read_fields(id, 'model', 'status', 'sequence'))
  if sequence and (not a.model or model == a.model) and (not a.status or status == a.status) then
    if not a.brief then
      bytes = bytes + record_bytes(id)
      if bytes > a.most_bytes and #records > 0 then break end
    end
    records[#records + 1] = a.brief and read_brief(id) or read_record(id)
  end
  read = read + 1
  last = sequence or last
end
return cmsgpack.pack({
  records = records, last = last or false, more = read < #ids or #ids == a.most_read, now = now,
})
