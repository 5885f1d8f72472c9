-- Prolongs a worker's locks; one that ran out while its payload lies with the worker is taken again. Without the
-- payload the task has just ended, and a lock taken for it would never be given back.
-- ARGV: worker, lock seconds, then the groups
-- Returns the groups whose lock somebody else holds.
local worker, lock_seconds = ARGV[1], ARGV[2]
local lost = {}
for index = 3, #ARGV do
  local group = ARGV[index]
  local holder = redis.call('GET', lock_of(group))
  if holder == worker then
    redis.call('EXPIRE', lock_of(group), lock_seconds)
  elseif holder then
    lost[#lost + 1] = group
  elseif redis.call('EXISTS', own_list(worker, group)) == 1 then
    redis.call('SET', lock_of(group), worker, 'EX', lock_seconds)
  end
end
return lost
