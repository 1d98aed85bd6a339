-- What a listener to a prediction's stream does not have yet. {id, owner, since, most, watcher?}
-- -> false | {status, events: [[kind, text]], more, output, error, said}, the last three false until it is over
-- and the listener has all events. Of the record only what ends a stream is read, and that once.
if a.watcher then insist() end
local owner, status, model, watchers = unpack(fields(a.id, 'owner', 'status', 'model', 'watchers'))
if not owner or owner ~= a.owner then return cmsgpack.pack(false) end
status = told_status(a.id, model, status)
if a.watcher then watch(a.id, watchers, a.watcher) end
if a.most == 0 then return cmsgpack.pack({status, {}, true, false, false, false}) end
local events = redis.call('LRANGE', K.events .. a.id, a.since, a.since + a.most - 1)
for n, event in ipairs(events) do events[n] = cmsgpack.unpack(event) end
local more = #events == a.most
local output, error, said = false, false, false
if status ~= 'starting' and status ~= 'processing' and not more then
  output, error, said = unpack(fields(a.id, 'output', 'error', 'said'))
end
return cmsgpack.pack({status, events, more, output, error, said})
