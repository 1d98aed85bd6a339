-- How full the ledger is. {reserve?} -> {limit, used, reserved, keys}, bytes and their number
require 'memory'

local found = read_memory(a.reserve)
found.keys = redis.call('DBSIZE')
return cmsgpack.pack(found)
