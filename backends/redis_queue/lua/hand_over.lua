-- Hands what is next to a worker that waits, as its own pick would; true when one was handed something.
-- The one that said so last is the likeliest to live. A worker that is dead is found by its lease, like any that holds tasks.
local function hand_over()
  local last = redis.call('ZREVRANGE', K.waiting, 0, 0, 'WITHSCORES')
  local worker, until_ = last[1], tonumber(last[2])
  if not worker or until_ < now() then
    return false
  end
  local lock_seconds, limit, shown, patience =
    string.match(redis.call('HGET', K.waits_how, worker) or '', '^(%d+) (%d+) (%d+) (%d+)$')
  if not lock_seconds then
    return false
  end
  local offer = choose({
    worker = worker,
    lock_seconds = lock_seconds,
    seed = tonumber(redis.call('TIME')[2]),
    limit = tonumber(limit),
    shown = tonumber(shown),
    patience = tonumber(patience),
  })
  if not offer then
    return false
  end
  local group, payload, size, digest = offer[1], offer[2], offer[3], offer[4]
  redis.call('ZREM', K.waiting, worker)
  redis.call('RPUSH', K.handed .. worker, string.format('%d %d %s ', #group, size, digest) .. group .. payload)
  return true
end
