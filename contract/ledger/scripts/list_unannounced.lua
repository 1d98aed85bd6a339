-- The oldest endings that nobody was told of. {model, most} -> ids
return cmsgpack.pack(redis.call('ZRANGE', K.unannounced .. a.model, 0, a.most - 1))
