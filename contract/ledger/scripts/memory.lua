-- How full the ledger is. {reserve?} -> {limit, used, reserved, keys}, bytes and their number
local found = memory(a.reserve)
found.keys = redis.call('DBSIZE')
return cmsgpack.pack(found)
