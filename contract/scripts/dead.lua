-- The dead list of a model, newest first. {model, most} -> [record]
local records = {}
for _, id in ipairs(redis.call('ZREVRANGE', K.dead .. a.model, 0, a.most - 1)) do
  local record = view(id)
  if record then records[#records + 1] = record end
end
return cmsgpack.pack(records)
