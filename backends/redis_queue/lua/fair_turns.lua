-- Whose turn it is: the urgent first, then tenants by what they were given so far (start-time fair queueing). All of it stands
-- beside the legacy keys; whatever legacy code does to the lists, no payload is ever taken from anywhere but its group's list.

-- A score is priority * LEVEL + arrival.
local LEVEL, ORDINARY, LOWEST = 1099511627776, 3, 5
-- How many stale entries (a legacy worker has their payload) one script skips at most.
local MOST_STALE = 20

-- A group has work: its tenant takes turns from now on, without credit for the time when it had none.
local function join(tenant, group)
  redis.call('SADD', K.tenant_groups .. tenant, group)
  if not redis.call('ZSCORE', K.tenants, tenant) then
    local given = tonumber(redis.call('GET', K.given) or 0)
    local own = tonumber(redis.call('HGET', K.ahead, tenant) or 0)
    redis.call('HDEL', K.ahead, tenant)
    redis.call('ZADD', K.tenants, string.format('%.9f', math.max(given, own)), tenant)
  end
end

local function tenant_of(group)
  return redis.call('HGET', K.group_tenant, group) or ('group:' .. group)
end

-- A group has no work.
local function leave(group)
  local tenant = tenant_of(group)
  redis.call('UNLINK', K.order .. group)
  redis.call('ZREM', K.urgent, group)
  redis.call('SREM', K.tenant_groups .. tenant, group)
  if redis.call('EXISTS', K.tenant_groups .. tenant) == 0 then
    local own = tonumber(redis.call('ZSCORE', K.tenants, tenant) or 0)
    redis.call('ZREM', K.tenants, tenant)
    if own > tonumber(redis.call('GET', K.given) or 0) then
      redis.call('HSET', K.ahead, tenant, string.format('%.9f', own))
    end
  end
end

-- A tenant was given a turn.
local function count_turn(group)
  local tenant = tenant_of(group)
  local own = redis.call('ZSCORE', K.tenants, tenant)
  if own then
    if tonumber(own) > tonumber(redis.call('GET', K.given) or 0) then
      redis.call('SET', K.given, own)
    end
    local weight = tonumber(redis.call('HGET', K.weights, tenant) or 1)
    redis.call('ZINCRBY', K.tenants, string.format('%.9f', 1 / weight), tenant)
  end
end

-- Whether something with a priority from `first` to `last` stands in the order of a group; members are whole payloads, so they are
-- counted and not read.
local function has_priority(group, first, last)
  return redis.call('ZCOUNT', K.order .. group, first * LEVEL, '(' .. (last + 1) * LEVEL) > 0
end

local function has_unordered(group)
  return waiting(group) > redis.call('ZCARD', K.order .. group)
end

-- The priority of what would be taken next from a group in which something waits.
local function next_priority(group)
  if redis.call('EXISTS', K.order .. group) == 0 then
    return ORDINARY
  end
  for priority = 1, LOWEST do
    if has_priority(group, priority, priority) or (priority == ORDINARY and has_unordered(group)) then
      return priority
    end
  end
  return ORDINARY
end

local function mark_urgent(group)
  if has_priority(group, 1, ORDINARY - 1) then
    redis.call('ZADD', K.urgent, redis.call('ZRANGE', K.order .. group, 0, 0, 'WITHSCORES')[2], group)
  else
    redis.call('ZREM', K.urgent, group)
  end
end

-- The place of a new payload in the order of its group; nil when the list's own order is enough: it is ordinary, and nothing of a
-- lower priority waits before it.
local function new_place(group, priority)
  if priority == ORDINARY and not has_priority(group, ORDINARY + 1, LOWEST) then
    return nil
  end
  return priority * LEVEL + redis.call('INCR', K.arrivals)
end

local function set_place(group, payload, place)
  redis.call('ZADD', K.order .. group, place, payload)
  mark_urgent(group)
end

-- Moves the next payload of a group to another list; nil when the list is empty.
local function move_next(group, target)
  local queue, order = queue_of(group), K.order .. group
  local function move(payload)
    if redis.call('LREM', queue, 1, payload) == 0 then
      return nil
    end
    redis.call('RPUSH', target, payload)
    return payload
  end
  local function move_first()
    local payload = redis.call('LMOVE', queue, target, 'LEFT', 'RIGHT')
    if payload then
      redis.call('ZREM', order, payload)
    end
    return payload or nil
  end
  -- A payload that a legacy worker received is still in the order, but no longer in the list.
  local function move_from_order(lowest)
    for _ = 1, MOST_STALE do
      if not has_priority(group, 1, lowest) then
        return nil
      end
      local first = redis.call('ZRANGE', order, 0, 0)[1]
      redis.call('ZREM', order, first)
      if move(first) then
        return first
      end
    end
    return nil
  end
  -- Older than all that is ordered, or pushed by a legacy producer.
  local function move_unordered()
    local at, bytes = 0, 0
    while has_unordered(group) and at < MOST and bytes < MOST_BYTES do
      local payload = redis.call('LINDEX', queue, at)
      if not payload or not redis.call('ZSCORE', order, payload) then
        return payload and move(payload) or nil
      end
      at, bytes = at + 1, bytes + #payload
    end
    return nil
  end
  if redis.call('EXISTS', order) == 0 then
    return redis.call('LMOVE', queue, target, 'LEFT', 'RIGHT') or nil
  end
  local taken = move_from_order(ORDINARY - 1)
  if not taken and has_priority(group, ORDINARY + 1, LOWEST) then
    taken = move_unordered() or move_from_order(LOWEST)
  end
  return taken or move_first()
end

-- Makes a payload the next of its priority in its group, unless its start was cancelled while it was away, or taken back (then it was
-- a copy); true when it waits again. The gateway adopts a payload without an epoch as the first start of its task; of that start the
-- marker knows a cancel alone.
local function put_back(group, payload, keep)
  local task_id, epoch = identity(payload)
  local place = nil
  if task_id then
    local workflow_id = id_of_start(task_id, epoch or 1)
    local marker = redis.call('HMGET', K.start .. workflow_id, 'state', 'cancel', 'score', 'withdrawn')
    if epoch and (FINAL[marker[1] or ''] or marker[4]) then
      return false
    end
    if marker[2] then
      end_start(workflow_id, 'cancelled', marker[2], 'null', keep)
      return false
    end
    place = epoch and marker[3]
  end
  redis.call('LPUSH', queue_of(group), payload)
  redis.call('SADD', K.active_groups, group)
  join(tenant_of(group), group)
  if place then
    set_place(group, payload, place)
  end
  return true
end
