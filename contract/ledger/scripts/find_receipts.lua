-- Which of these are recorded, and by whose receipt. {ids} -> {found: [receipt | '' | false], now}
local found = {}
for i, id in ipairs(a.ids) do
  local owner, receipt = unpack(read_fields(id, 'owner', 'receipt'))
  found[i] = owner and (receipt or '')
end
return cmsgpack.pack({found = found, now = now})
