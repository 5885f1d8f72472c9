-- Gives up what was collected: it is a task of the gateway's now, it goes to the dead list, or back to its group as the next.
-- Does nothing when it was given up before.
-- ARGV: id of the entry, 'drop' | 'dead' | 'back', for 'dead': entry for the dead list
local entry, what, dead = ARGV[1], ARGV[2], ARGV[3]
local value = redis.call('HGET', K.collected, entry)
if not value then
  return 0
end
redis.call('HDEL', K.collected, entry)
if what == 'dead' then
  redis.call('RPUSH', K.dead, dead)
elseif what == 'back' then
  local colon = string.find(value, ':', 1, true)
  local start = colon + 1 + tonumber(string.sub(value, 1, colon - 1))
  local group = string.sub(value, colon + 1, start - 1)
  redis.call('LPUSH', queue_of(group), string.sub(value, start))
  redis.call('SADD', K.active_groups, group)
  redis.call('PUBLISH', K.wake, group)
end
return 1
