-- Marks the ledger with the schema that it is written in; the mark never goes down. {schema} -> the mark
local found = tonumber(redis.call('GET', K.schema) or 0)
if a.schema > found then
  allow_over_maxmemory()
  redis.call('SET', K.schema, a.schema)
  found = a.schema
end
return cmsgpack.pack(found)
