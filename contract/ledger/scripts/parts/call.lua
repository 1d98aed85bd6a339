-- What every script begins with: its arguments, and how instants and fields are written and read.
local a = cmsgpack.unpack(ARGV[2])

local function instant(t) return string.format('%.6f', t) end

-- Fields of a record, in the order asked; a missing field is false.
local function read_fields(id, ...) return redis.call('HMGET', K.prediction .. id, ...) end

-- At `maxmemory` Redis refuses a script whose first write needs memory. It lets one go on that has written
-- something already, and a deletion counts, even of nothing. Accepting may be refused. What keeps or ends
-- predictions must not be: it frees the memory, and a lease that lapses costs an attempt.
local function allow_over_maxmemory() redis.call('DEL', K.events .. '') end

-- The caller waits for replicas, and Redis makes it wait only for what this call itself wrote. An empty message
-- on a channel without a listener goes to the replicas like a change, and takes no memory.
if a.awaited then redis.call('PUBLISH', K.answers .. '', '') end
