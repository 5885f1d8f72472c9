-- Gives up what was collected: it is a task of the gateway's now, it goes to the dead list, or back to its group as the next.
-- Does nothing when it was given up before.
-- ARGV: id of the entry, 'drop' | 'dead' | 'back', for 'dead': entry for the dead list, '1' if that entry holds a part only: the whole
-- payload stays here then
local entry, what, dead, is_cut = ARGV[1], ARGV[2], ARGV[3], ARGV[4] == '1'

local function parts(value)
  local colon = string.find(value, ':', 1, true)
  local start = colon + 1 + tonumber(string.sub(value, 1, colon - 1))
  return string.sub(value, colon + 1, start - 1), string.sub(value, start)
end

local value = redis.call('HGET', K.collected, entry)
if not value then
  return 0
end
redis.call('HDEL', K.collected, entry)
if what == 'dead' then
  redis.call('RPUSH', K.dead, dead)
  if is_cut then
    local _, payload = parts(value)
    redis.call('HSET', K.dead_large, entry, payload)
  end
elseif what == 'back' then
  local group, payload = parts(value)
  redis.call('LPUSH', queue_of(group), payload)
  redis.call('SADD', K.active_groups, group)
  redis.call('PUBLISH', K.wake, group)
end
return 1
