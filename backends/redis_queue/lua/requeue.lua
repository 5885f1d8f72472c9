-- Puts back a start whose worker was lost, and frees that worker's lock on the group.
-- ARGV: group, task id, fragment, epoch, seconds to keep the marker
-- Returns 1 when the start waits (again, or already), 0 when no list holds it.
local group, task_id, fragment, epoch, keep = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
if #find(queue_of(group), task_id, fragment, epoch, 1) > 0 then
  return 1
end
local waits = false
for _, worker in ipairs(redis.call('SMEMBERS', K.workers)) do
  local mine = own_list(worker, group)
  local found = find(mine, task_id, fragment, epoch)
  for _, payload in ipairs(found) do
    redis.call('LREM', mine, 0, payload)
    waits = waits or put_back(group, payload, keep)
  end
  if #found > 0 then
    tidy(worker, group, redis.call('EXISTS', mine) == 0)
  end
end
-- A group runs one task at a time, so what holds its lock while this payload is a legacy worker's is that worker.
local found = find(K.processing, task_id, fragment, epoch)
for _, payload in ipairs(found) do
  redis.call('LREM', K.processing, 0, payload)
  waits = waits or put_back(group, payload, keep)
end
local holder = redis.call('GET', lock_of(group))
if #found > 0 and holder and redis.call('SISMEMBER', K.workers, holder) == 0 then
  redis.call('DEL', lock_of(group))
end
if waits then
  redis.call('PUBLISH', K.wake, group)
end
return waits and 1 or 0
