-- A gateway or a keeper answers for its catalog, until `lifetime` is over. {entries: {model: entry}, lifetime}
-- -> true
insist()
for model, entry in pairs(a.entries) do
  redis.call('ZADD', K.named .. model, now + a.lifetime, entry)
  redis.call('EXPIRE', K.named .. model, math.ceil(a.lifetime) + 86400)
end
return cmsgpack.pack(true)
