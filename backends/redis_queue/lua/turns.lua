-- Whose turn it is: the urgent first, then tenants by what they were given so far. All of it stands beside the legacy keys;
-- whatever legacy code does to the lists, no payload is ever taken from anywhere but its group's list.

-- A score is priority * LEVEL + arrival.
local LEVEL, ORDINARY = 1099511627776, 3
-- So many payloads of low priority are passed over to find an ordinary one behind them.
local PASSED_OVER = 1000

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
  redis.call('DEL', K.order .. group)
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

-- The first payload of another priority than the ordinary, and its score; nil when there is none.
local function first_in_order(group)
  local first = redis.call('ZRANGE', K.order .. group, 0, 0, 'WITHSCORES')
  return first[1], tonumber(first[2])
end

-- The priority of what would be taken next from a group in which something waits.
local function next_priority(group)
  local first, score = first_in_order(group)
  if not first then
    return ORDINARY
  end
  local priority = math.floor(score / LEVEL)
  if priority > ORDINARY and waiting(group) > redis.call('ZCARD', K.order .. group) then
    return ORDINARY
  end
  return priority
end

local function mark_urgent(group)
  local first, score = first_in_order(group)
  if first and score < ORDINARY * LEVEL then
    redis.call('ZADD', K.urgent, score, group)
  else
    redis.call('ZREM', K.urgent, group)
  end
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
  -- What legacy workers took is in the order, and not in the list any more.
  local function move_from_order(below)
    while true do
      local first, score = first_in_order(group)
      if not first or score >= below * LEVEL then
        return nil
      end
      redis.call('ZREM', order, first)
      if move(first) then
        return first
      end
    end
  end
  if redis.call('EXISTS', order) == 0 then
    return redis.call('LMOVE', queue, target, 'LEFT', 'RIGHT') or nil
  end
  local taken = move_from_order(ORDINARY)
  if taken then
    return taken
  end
  for at = 0, math.min(waiting(group), PASSED_OVER) - 1, 100 do
    for _, payload in ipairs(redis.call('LRANGE', queue, at, at + 99)) do
      if not redis.call('ZSCORE', order, payload) then
        return move(payload)
      end
    end
  end
  return move_from_order(100) or redis.call('LMOVE', queue, target, 'LEFT', 'RIGHT') or nil
end
