-- Takes a waiting start out of its list. A running one is only marked, so that it is not put back when its worker
-- is lost. One that is nowhere leaves a tombstone, so that a start which comes late pushes nothing.
-- ARGV: workflow id, group, task id, fragment, epoch, reason, seconds to keep the marker
-- Returns 1 when something that waited was taken out.
local workflow_id, group, task_id, fragment = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local epoch, reason, keep = tonumber(ARGV[5]), ARGV[6], tonumber(ARGV[7])
local marker = K.start .. workflow_id
if FINAL[redis.call('HGET', marker, 'state') or ''] then
  return 0
end
local found = find(queue_of(group), task_id, fragment, epoch)
for _, payload in ipairs(found) do
  redis.call('LREM', queue_of(group), 0, payload)
  redis.call('ZREM', K.order .. group, payload)
end
local running = #find(K.processing, task_id, fragment, epoch, 1) > 0
for _, worker in ipairs(redis.call('SMEMBERS', K.workers)) do
  running = running or #find(own_list(worker, group), task_id, fragment, epoch, 1) > 0
end
if running then
  redis.call('HSET', marker, 'cancel', reason)
  redis.call('EXPIRE', marker, keep)
else
  end_start(workflow_id, 'cancelled', reason, 'null', keep)
end
return #found > 0 and 1 or 0
