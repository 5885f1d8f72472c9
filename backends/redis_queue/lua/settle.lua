-- Gives up what was collected: it is a task of the gateway's now, it goes to the dead list, or back to its group as the next.
-- Does nothing when it was given up before.
-- ARGV: id of the entry, 'drop' | 'dead' | 'back', for 'dead': entry for the dead list, '1' if that entry holds a part only: the whole
-- payload stays here then
local entry, what, dead, is_cut = ARGV[1], ARGV[2], ARGV[3], ARGV[4] == '1'

local value = redis.call('HGET', K.collected, entry)
if not value then
  return 0
end
redis.call('HDEL', K.collected, entry)
if what == 'dead' then
  redis.call('RPUSH', K.dead, dead)
  if is_cut then
    local _, start = group_and_start(value)
    redis.call('HSET', K.dead_large, entry, string.sub(value, start))
  end
elseif what == 'back' then
  local group, start = group_and_start(value)
  redis.call('LPUSH', queue_of(group), string.sub(value, start))
  redis.call('SADD', K.active_groups, group)
  wake(group)
end
return 1
