-- Which models have something to keep, and how many predictions each accepted so far. {models, kinds}
-- -> {model: [bool, number]}; `kinds` are the keys that say so
local found = {}
for _, model in ipairs(a.models) do
  local indexes = {}
  for i, kind in ipairs(a.kinds) do indexes[i] = K[kind] .. model end
  local accepted = tonumber(redis.call('HGET', K.counts .. model, 'accepted') or 0)
  found[model] = {redis.call('EXISTS', unpack(indexes)) > 0, accepted}
end
return cmsgpack.pack(found)
