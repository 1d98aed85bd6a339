-- Records predictions as accepted. {models: {name: {max_queue, max_batch, entry?}}, reserve?, most_bytes,
-- predictions: [{id, receipt?, not_after?, ...}]} -> {results: [[what, ...]], wakeups: {model: [wakeup]}, now,
-- failing: {model: why its workers cannot start}}
require 'lifecycle'
require 'memory'
require 'record'
require 'wakeups'
require 'workers'

local results, fresh, found, shown_bytes = {}, {}, {}, 0

-- The record that an earlier try of this same create has made: its answer was lost, and so were the wake-ups
-- that went with it.
local function own(p)
  local r = read_record(p.id)
  if r.status == 'starting' then
    found[p.model] = math.min(found[p.model] or math.huge, tonumber(r.created_at))
  end
  return {'found', r}
end

-- The prediction that this one repeats, by its id or its Idempotency-Key.
local function earlier(p)
  local id = p.id
  if p.idempotency_key then
    id = redis.call('HGET', K.idempotency .. p.owner, p.idempotency_key) or id
  end
  local owner, digest, receipt, watchers = unpack(read_fields(id, 'owner', 'digest', 'receipt', 'watchers'))
  if not owner then return nil end
  if owner ~= p.owner or digest ~= p.digest then return {'conflict', id} end
  if p.watchers then add_watcher(id, watchers, p.watchers) end
  if id == p.id and receipt == (p.receipt or false) then return own(p) end
  local bytes = record_bytes(id)
  if shown_bytes > 0 and shown_bytes + bytes > a.most_bytes then return {'brief', read_brief(id)} end
  shown_bytes = shown_bytes + bytes
  return {'repeated', read_record(id)}
end

-- The version that a ready worker of the gateway's entry of a model registered last, if one was ever there.
local function current(model)
  local entry = a.models[model].entry
  return entry and redis.call('HGET', K.served .. model, entry)
end

-- Whether a worker of the version that it names is there, or will be as far as anybody knows.
local function served(p)
  local entry, version = a.models[p.model].entry, current(p.model)
  if version then
    if version == p.pinned then return true end
  elseif entry == entry_of(p.pinned) then
    return true
  end
  return live_versions(p.model)[p.pinned]
end

local left = read_room(a.reserve)
for i, p in ipairs(a.predictions) do
  -- Looked for before the clock is: an earlier try may have been in time.
  local result = earlier(p)
  if not result then
    local waiting = redis.call('ZCARD', K.queued .. p.model)
    if p.not_after and now > p.not_after then
      -- Its caller may have an answer already that says so.
      result = {'late'}
    elseif p.pinned and not served(p) then
      result = {'unserved'}
    elseif waiting >= a.models[p.model].max_queue then
      result = {'full', waiting, eta_of(p.model, 1)}
    elseif not take_room(left, p.model, p.input) then
      result = {'no_room', until_more_room()}
    else
      p.version = p.pinned or current(p.model) or p.version
      result = accept(p, i)
      result[5] = eta_of(p.model, result[4])
      result[6] = p.version or false
      fresh[p.model] = true
    end
  end
  results[i] = result
end

local wakeups = {}
for model in pairs(fresh) do
  redis.call('SADD', K.models, model)
  wakeups[model] = missing_wakeups(model, a.models[model].max_batch)
end
for model, since in pairs(found) do
  -- A thousandth earlier: a score is less exact than an instant.
  local lost = redis.call('ZRANGEBYSCORE', K.wakeups .. model, instant(since - 0.001), '+inf')
  local list, known = wakeups[model] or {}, {}
  for _, wakeup in ipairs(list) do known[wakeup] = true end
  for _, wakeup in ipairs(lost) do
    if not known[tonumber(wakeup)] then list[#list + 1] = tonumber(wakeup) end
  end
  wakeups[model] = list
end
write_taken_room()
conclude()
local failing = {}
for model in pairs(a.models) do
  local failure = read_start_failure(model)
  if failure and not has_serving_worker(model) then failing[model] = failure end
end
return cmsgpack.pack({results = results, wakeups = wakeups, now = now, failing = failing})
