-- What a listener to a prediction's stream does not have yet. {id, owner, since, most, watcher?}
-- -> false | {status, events: [[kind, text]], more, output, error, said}, the last three false until it is over
-- and the listener has all events. Of the record only what ends a stream is read, and that once.
require 'notify'
require 'record'

if a.watcher then allow_over_maxmemory() end
local owner, status, model, watchers = unpack(read_fields(a.id, 'owner', 'status', 'model', 'watchers'))
if not owner or owner ~= a.owner then return cmsgpack.pack(false) end
status = announced_status(a.id, model, status)
if a.watcher then add_watcher(a.id, watchers, a.watcher) end
if a.most == 0 then return cmsgpack.pack({status, {}, true, false, false, false}) end
local events = read_events(a.id, a.since, a.since + a.most - 1)
local more = #events == a.most
local output, error, said = false, false, false
if is_over(status) and not more then
  output, error, said = unpack(read_fields(a.id, 'output', 'error', 'said'))
end
return cmsgpack.pack({status, events, more, output, error, said})
