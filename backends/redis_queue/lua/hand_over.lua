-- Handing a payload to a worker with its push, as if the worker had picked it.

-- How the worker picks that said last that it is in this set, and that listens: one that was killed no longer does. nil: none is.
local function last_of(set)
  for _, worker in ipairs(redis.call('ZREVRANGEBYSCORE', set, '+inf', now(), 'LIMIT', 0, 16)) do
    local lock_seconds, limit, shown, patience =
      string.match(redis.call('HGET', K.waits_how, worker) or '', '^(%d+) (%d+) (%d+) (%d+)$')
    if lock_seconds and redis.call('PUBSUB', 'NUMSUB', K.listens .. worker)[2] > 0 then
      return {
        worker = worker,
        lock_seconds = lock_seconds,
        seed = tonumber(redis.call('TIME')[2]),
        limit = tonumber(limit),
        shown = tonumber(shown),
        patience = tonumber(patience),
      }
    end
  end
  return nil
end

-- Whether nothing else of the group's tenant waits, as far as a few of its groups show.
local function is_alone(group)
  for _, other in ipairs(redis.call('SRANDMEMBER', K.tenant_groups .. tenant_of(group), 8)) do
    if waiting(other) > (other == group and 1 or 0) then
      return false
    end
  end
  return true
end

-- After a push to this group: hands what is next to a worker that waits, or else this payload, if its tenant has no other, to
-- one with room to spare. Returns the group of what was handed over, nil when nothing was.
local function hand_over(group)
  local how = last_of(K.waiting)
  local offer
  if how then
    offer = choose(how)
  else
    how = last_of(K.spare)
    local urgent_others = redis.call('ZCARD', K.urgent) > (redis.call('ZSCORE', K.urgent, group) and 1 or 0)
    if not how or urgent_others or not is_alone(group) then
      return nil
    end
    offer = take(how, group, ORDINARY)
  end
  if not offer then
    return nil
  end
  local its_group, payload, size, digest = offer[1], offer[2], offer[3], offer[4]
  redis.call('ZREM', K.waiting, how.worker)
  redis.call('ZREM', K.spare, how.worker)
  local notice = string.format('%d %d %s ', #its_group, size, digest) .. its_group .. payload
  redis.call('RPUSH', K.handed .. how.worker, notice)
  return its_group
end
