-- Takes the oldest payload of some group whose lock is free: lock, move to the worker's own list, in one step.
-- ARGV: worker, lock seconds, random seed, largest payload in bytes, bytes to show of a larger one,
--       seconds to keep looking at a group that was found empty
-- Returns nil, or {group, payload, size, digest}; a payload over the limit is cut, and digest is its SHA-1.
--
-- A producer says SADD and then RPUSH, in two steps. A group found empty in between leaves the active set, and
-- nothing would ever look at its list again; so such groups are looked at for a while longer.
local worker, lock_seconds, seed = ARGV[1], ARGV[2], tonumber(ARGV[3])
local limit, shown, patience = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local SAMPLE = 16

local function take(group)
  local queue = queue_of(group)
  if waiting(group) == 0 then
    if redis.call('SREM', K.active_groups, group) == 1 then
      redis.call('ZADD', K.emptied, now(), group)
    end
    return nil
  end
  if not redis.call('SET', lock_of(group), worker, 'NX', 'EX', lock_seconds) then
    return nil
  end
  local payload = redis.call('LMOVE', queue, own_list(worker, group), 'LEFT', 'RIGHT')
  redis.call('SADD', K.workers, worker)
  redis.call('SADD', held_by(worker), group)
  if #payload > limit then
    return { group, string.sub(payload, 1, shown), #payload, redis.sha1hex(payload) }
  end
  return { group, payload, #payload, '' }
end

-- Random order: a group that is always busy must not stand before the others.
local function take_any(groups)
  for last = #groups, 1, -1 do
    local chosen = math.random(last)
    local taken = take(groups[chosen])
    if taken then
      return taken
    end
    groups[chosen] = groups[last]
  end
  return nil
end

math.randomseed(seed)
local taken = take_any(redis.call('SRANDMEMBER', K.active_groups, SAMPLE))
if not taken and redis.call('SCARD', K.active_groups) > 0 then
  taken = take_any(redis.call('SMEMBERS', K.active_groups))
end
if taken then
  return taken
end
if redis.call('ZCARD', K.emptied) > 0 then
  redis.call('ZREMRANGEBYSCORE', K.emptied, '-inf', now() - patience)
  for _, group in ipairs(redis.call('ZRANGE', K.emptied, 0, -1)) do
    if waiting(group) > 0 then
      redis.call('ZREM', K.emptied, group)
      redis.call('SADD', K.active_groups, group)
      taken = taken or take(group)
    end
  end
end
return taken
