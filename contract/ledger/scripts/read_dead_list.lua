-- The dead list of a model, newest first, without inputs. {model, most} -> [record]
require 'record'

local records = {}
for _, id in ipairs(redis.call('ZREVRANGE', K.dead .. a.model, 0, a.most - 1)) do
  local record = read_brief(id)
  if record then
    record.error = read_fields(id, 'error')[1]
    records[#records + 1] = record
  end
end
return cmsgpack.pack(records)
