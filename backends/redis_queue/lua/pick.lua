-- Takes what is next (see choose.lua), or says that the worker waits: whoever pushes may then hand it one payload. With room to
-- spare it says so, too: then it may be handed the only payload of a tenant, who need not wait until it picks again.
-- ARGV: worker, lock seconds, random seed, largest payload in bytes, bytes to show of a larger one,
--       seconds to keep looking at a group that was found empty, seconds for which it waits,
--       '1' = it believes that it waits, '1' = it has room for one beside the one that it takes
-- Returns nil, or what `choose` does; {} when it waits no longer: it was handed one, and has no room for another.
local worker, until_ = ARGV[1], now() + tonumber(ARGV[7])
local waited = redis.call('ZREM', K.waiting, worker) + redis.call('ZREM', K.spare, worker) > 0
if ARGV[8] == '1' and not waited then
  return {}
end
local taken = choose({
  worker = worker,
  lock_seconds = ARGV[2],
  seed = tonumber(ARGV[3]),
  limit = tonumber(ARGV[4]),
  shown = tonumber(ARGV[5]),
  patience = tonumber(ARGV[6]),
})
if not taken or ARGV[9] == '1' then
  redis.call('ZADD', taken and K.spare or K.waiting, until_, worker)
  redis.call('HSET', K.waits_how, worker, table.concat({ ARGV[2], ARGV[4], ARGV[5], ARGV[6] }, ' '))
end
return taken
