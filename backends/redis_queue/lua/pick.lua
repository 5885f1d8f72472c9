-- Takes the next payload of the group whose turn it is, of those whose lock is free: lock, move to the worker's own list, in
-- one step. The lowest priority number comes first; among equals the tenant that was given least, as its weight counts;
-- within a group the oldest.
-- ARGV: worker, lock seconds, random seed, largest payload in bytes, bytes to show of a larger one,
--       seconds to keep looking at a group that was found empty
-- Returns nil, or {group, payload, size, digest}; a payload over the limit is cut, and digest is its SHA-1.
--
-- A producer says SADD and then RPUSH, in two steps. A group found empty in between leaves the active set, and
-- nothing would ever look at its list again; so such groups are looked at for a while longer.
local worker, lock_seconds, seed = ARGV[1], ARGV[2], tonumber(ARGV[3])
local limit, shown, patience = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local SAMPLE = 16

-- Takes from a group, unless what is next there is of a lower priority than `level`; second, the priority that it has.
local function take(group, level)
  if waiting(group) == 0 then
    if redis.call('SREM', K.active_groups, group) == 1 then
      redis.call('ZADD', K.emptied, now(), group)
    end
    leave(group)
    return nil
  end
  local priority = next_priority(group)
  if priority > level then
    return nil, priority
  end
  if not redis.call('SET', lock_of(group), worker, 'NX', 'EX', lock_seconds) then
    return nil
  end
  local payload = move_next(group, own_list(worker, group))
  mark_urgent(group)
  count_turn(group)
  redis.call('SADD', K.workers, worker)
  redis.call('SADD', held_by(worker), group)
  if #payload > limit then
    return { group, string.sub(payload, 1, shown), #payload, redis.sha1hex(payload) }
  end
  return { group, payload, #payload, '' }
end

-- Random order: a group that is always busy must not stand before the others. Second, the best priority passed over.
local function take_any(groups, level)
  local passed = nil
  for last = #groups, 1, -1 do
    local chosen = math.random(last)
    local taken, priority = take(groups[chosen], level)
    if taken then
      return taken
    end
    passed = math.min(priority or passed or 100, passed or 100)
    groups[chosen] = groups[last]
  end
  return nil, passed
end

local function take_of_tenants(level)
  local passed, first = 100, 0
  while true do
    local tenants = redis.call('ZRANGE', K.tenants, first, first + 31)
    for _, tenant in ipairs(tenants) do
      local key = K.tenant_groups .. tenant
      local taken, best = take_any(redis.call('SRANDMEMBER', key, SAMPLE), level)
      if not taken and redis.call('SCARD', key) > SAMPLE then
        taken, best = take_any(redis.call('SMEMBERS', key), level)
      end
      if taken then
        return taken
      end
      passed = math.min(passed, best or 100)
    end
    if #tenants < 32 then
      return nil, passed
    end
    first = first + 32
  end
end

math.randomseed(seed)
for _, group in ipairs(redis.call('ZRANGE', K.urgent, 0, 63)) do
  mark_urgent(group)
  if redis.call('ZSCORE', K.urgent, group) then
    local taken = take(group, ORDINARY - 1)
    if taken then
      return taken
    end
  end
end
-- Groups that legacy code pushed to take turns, too.
for _, group in ipairs(redis.call('SRANDMEMBER', K.active_groups, SAMPLE)) do
  if redis.call('SISMEMBER', K.tenant_groups .. tenant_of(group), group) == 0 then
    join(tenant_of(group), group)
  end
end
local level, taken, passed = ORDINARY, nil, nil
while true do
  taken, passed = take_of_tenants(level)
  if taken then
    return taken
  end
  if passed >= 100 or passed <= level then
    break
  end
  level = passed
end
if redis.call('SCARD', K.active_groups) > 0 then
  taken = take_any(redis.call('SMEMBERS', K.active_groups), 100)
  if taken then
    return taken
  end
end
if redis.call('ZCARD', K.emptied) > 0 then
  redis.call('ZREMRANGEBYSCORE', K.emptied, '-inf', now() - patience)
  for _, group in ipairs(redis.call('ZRANGE', K.emptied, 0, -1)) do
    if waiting(group) > 0 then
      redis.call('ZREM', K.emptied, group)
      redis.call('SADD', K.active_groups, group)
      taken = taken or take(group, 100)
    end
  end
end
return taken
