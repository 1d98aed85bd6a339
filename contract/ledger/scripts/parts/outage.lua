-- Outages of the ledger: no lease and no limit runs out because nobody could reach it.

-- While the ledger is away nobody can renew a lease. That is no sign of death, and waiting for the ledger is no
-- computing. So the ledger notes when a model's workers and keepers last used it, and for how long they lease. A
-- worker gives a sign of life in every third of its lease. A longer silence of all is an outage (or they, or the
-- ledger's clock, stood still). After an outage there is a reprieve of a full lease: what had ended before it began
-- is over as ever, and everything else gets the time to be renewed or finished. Outages in a row count as one until
-- the ledger was there for a lease in all, lest a ledger that stumbles for ever keep the dead alive.
local SHORTEST_OUTAGE = 1
local function note_sign_of_life(model, lease)
  local at, known, from, till, up =
    unpack(redis.call('HMGET', K.heard .. model, 'at', 'lease', 'from', 'till', 'up'))
  at, lease = tonumber(at), lease or tonumber(known)
  if not lease then return end -- nobody has a lease
  local silence, longest = at and now - at or 0, math.max(SHORTEST_OUTAGE, lease / 3)
  if tonumber(till or 0) > now + lease + longest then -- the clock has been set back: that outage is yet to come
    from, till, up = nil, nil, nil
    redis.call('HDEL', K.heard .. model, 'from', 'till', 'up')
  end
  if silence > longest then
    till, up = tonumber(till) or 0, tonumber(up) or 0
    up = up + math.max(0, at - (till - lease)) + longest
    if at >= till or up >= lease then from, up = at, 0 end
    redis.call('HSET', K.heard .. model, 'from', instant(tonumber(from)), 'till', instant(now + lease), 'up', up)
  end
  if not at or silence < 0 or silence > 0.25 or tonumber(known) ~= lease then
    redis.call('HSET', K.heard .. model, 'at', instant(now), 'lease', lease)
  end
end

-- What had to happen by this instant and did not is late: now, or the begin of an outage that is hardly over.
local function late_since(model)
  local from, till = unpack(redis.call('HMGET', K.heard .. model, 'from', 'till'))
  if till and now < tonumber(till) then return math.min(now, tonumber(from)) end
  return now
end
