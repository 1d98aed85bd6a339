-- The oldest outcomes that are not announced yet. {model, most} -> ids
return cmsgpack.pack(redis.call('ZRANGE', K.unannounced .. a.model, 0, a.most - 1))
