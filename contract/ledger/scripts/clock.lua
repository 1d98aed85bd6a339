-- The ledger's clock: the only one that leases, deadlines and retention know.
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1e6
