-- Who hears of a prediction: the gateways that wait for it, each by one message a call.

-- From now on this gateway hears of the prediction. `watchers` are those that do already. Each start of a gateway is
-- another name, so of many the first are forgotten: 17 bytes each.
local MOST_WATCHER_BYTES = 1024
local function add_watcher(id, watchers, watcher)
  if watchers and string.find(' ' .. watchers .. ' ', ' ' .. watcher .. ' ', 1, true) then return end
  local names = watchers and watchers .. ' ' or ''
  if #names > MOST_WATCHER_BYTES then names = string.gsub(names, '^%S+%s+', '', 1) end
  redis.call('HSET', K.prediction .. id, 'watchers', names .. watcher)
end

-- Notes a message for the gateways that wait for a prediction; `publish_notes` sends it. `watchers` is their names,
-- separated by spaces.
local notes = {}
local function notify(watchers, message)
  if not watchers then return end
  for watcher in string.gmatch(watchers, '%S+') do
    local list = notes[watcher]
    if not list then
      list = {}
      notes[watcher] = list
    end
    list[#list + 1] = message
  end
end

-- One message to each gateway, however many predictions this call changed.
local function publish_notes()
  for watcher, list in pairs(notes) do
    redis.call('PUBLISH', K.answers .. watcher, cmsgpack.pack(list))
  end
end

-- A status as those who wait may know it: an end that is not announced yet is none to them.
local function announced_status(id, model, status)
  if a.replicas and redis.call('ZSCORE', K.unannounced .. model, id) then return 'processing' end
  return status
end
