-- Hands out the next payload of the group whose turn it is, of those whose lock is free: lock, move to a worker's own list, in
-- one step. The lowest priority number comes first; among equals the tenant that was given least, as its weight counts;
-- within a group the oldest.
--
-- A producer says SADD and then RPUSH, in two steps. A group found empty in between leaves the active set, and
-- nothing would ever look at its list again; so such groups are looked at for a while longer.
--
-- ARGV: worker, lock seconds, random seed, largest payload in bytes, bytes to show of a larger one, seconds to keep looking at a
--       group that was found empty, how far the look came: level, passed, tenants, scan; then groups to leave alone
-- Returns nil: nothing is to be received; {group, payload, size, digest}, of a payload over the limit a part and its SHA-1;
-- or {{level, passed, tenants, scan}}: nothing among those that were looked at, go on from there.
local worker, lock_seconds, limit, shown = ARGV[1], ARGV[2], tonumber(ARGV[4]), tonumber(ARGV[5])
local patience, level, passed, tenants, scan = tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9]), ARGV[10]
local ANY, SAMPLE, TENANTS, PAGE = 100, 16, 8, 64
local avoided, tries, is_complete = {}, 0, false
for _, group in ipairs(rest(11)) do
  avoided[group] = true
end
math.randomseed(tonumber(ARGV[3]))

-- Receives from a group, unless what is next there is of a lower priority than `lowest`; second, the priority that it has.
local function receive(group, lowest)
  tries = tries + 1
  if waiting(group) == 0 then
    if redis.call('SREM', K.active_groups, group) == 1 then
      redis.call('ZADD', K.emptied, now(), group)
    end
    leave(group)
    return nil
  end
  if avoided[group] then
    return nil
  end
  local priority = next_priority(group)
  if priority > lowest then
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

-- Random order: a group that is always busy must not stand before the others. Notes the best priority passed over.
local function receive_any(groups, lowest)
  for last = #groups, 1, -1 do
    local chosen = math.random(last)
    local received, priority = receive(groups[chosen], lowest)
    if received then
      return received
    end
    passed = math.min(passed, priority or ANY)
    groups[chosen] = groups[last]
  end
  return nil
end

for _, group in ipairs(redis.call('ZRANGE', K.urgent, 0, 31)) do
  if waiting(group) > 0 and next_priority(group) >= ORDINARY then
    redis.call('ZREM', K.urgent, group)
  else
    local received = receive(group, ORDINARY - 1)
    if received then
      return received
    end
  end
end
-- Groups that legacy code pushed to take turns, too.
for _, group in ipairs(redis.call('SRANDMEMBER', K.active_groups, SAMPLE)) do
  if redis.call('SISMEMBER', K.tenant_groups .. tenant_of(group), group) == 0 then
    join(tenant_of(group), group)
  end
end
while tries < MOST and not is_complete do
  local received
  if scan == '' then
    -- Some groups of each tenant, those first that were given least.
    local names = redis.call('ZRANGE', K.tenants, tenants, tenants + TENANTS - 1)
    for _, tenant in ipairs(names) do
      received = received or receive_any(redis.call('SRANDMEMBER', K.tenant_groups .. tenant, SAMPLE), level)
    end
    tries, tenants = tries + #names, tenants + TENANTS
    if #names < TENANTS then
      scan = '0'
    end
  else
    -- All other active groups, such as the rest of a tenant that has many; then those of a lower priority.
    local answer = redis.call('SSCAN', K.active_groups, scan, 'COUNT', PAGE)
    scan, received = answer[1], receive_any(answer[2], level)
    if scan == '0' then
      is_complete = passed >= ANY
      level, passed, tenants, scan = passed, ANY, 0, ''
    end
  end
  if received then
    return received
  end
end
if not is_complete then
  return { { level, passed, tenants, scan } }
end
if redis.call('ZCARD', K.emptied) > 0 then
  local old = redis.call('ZRANGEBYSCORE', K.emptied, '-inf', now() - patience, 'LIMIT', 0, PAGE)
  if #old > 0 then
    redis.call('ZREM', K.emptied, unpack(old))
  end
  for _, group in ipairs(redis.call('ZRANDMEMBER', K.emptied, PAGE)) do
    if waiting(group) > 0 then
      redis.call('ZREM', K.emptied, group)
      redis.call('SADD', K.active_groups, group)
      local received = receive(group, ANY)
      if received then
        return received
      end
    end
  end
end
return nil
