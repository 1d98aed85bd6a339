-- The keeper's sweep of what waits for one version alone: wakes its workers, where there are any, and, with
-- `end_gone`, ends what no worker will come for. {model, batch, most, end_gone} -> {ended, wakeups, endings}
require 'lifecycle'
require 'wakeups'
require 'workers'

allow_over_maxmemory()
local model = a.model
redis.call('ZREMRANGEBYSCORE', K.named .. model, '-inf', late_since(model))
local live = live_versions(model)

-- Nobody's catalog has its entry any more, or its files have changed since.
local function gone(version)
  if live[version] then return false end
  local entry = entry_of(version)
  if not redis.call('ZSCORE', K.named .. model, entry) then return true end
  local served = redis.call('HGET', K.served .. model, entry)
  return served and served ~= version
end

local function finish(id, version)
  local status, watchers, ttl = unpack(read_fields(id, 'status', 'watchers', 'result_ttl'))
  if status == 'starting' then
    end_prediction(id, model, watchers, ttl, 'failed', {
      error = 'it named version ' .. version .. ', and no worker of that version will come any more',
      error_code = 'version_gone',
    })
    note_ending(id, model, 'version_gone')
  else
    unqueue(id, model, version)
  end
end

local waiting, ended = 0, 0
for _, version in ipairs(redis.call('SMEMBERS', K.pins .. model)) do
  if a.end_gone and gone(version) then
    for _, id in ipairs(redis.call('ZRANGE', K.pinned .. place_of(model, version), 0, a.most - ended - 1)) do
      finish(id, version)
      ended = ended + 1
    end
    if ended >= a.most then break end
  elseif live[version] then
    waiting = waiting + redis.call('ZCARD', K.pinned .. place_of(model, version))
  end
end
local wakeups = missing_wakeups(model, a.batch, waiting)
conclude()
return cmsgpack.pack({ended = ended, wakeups = wakeups, endings = endings})
