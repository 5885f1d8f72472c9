-- Takes back starts that wait in a group's list, seen from its left end, where the oldest are; what a worker has is in no such list.
-- From then on the start is neither pushed nor put back: its marker says so, and has no state any more.
-- ARGV: how many payloads were seen before, seconds to keep a marker, group, then workflow ids
-- Returns {1 = the list was seen whole or nothing is left to be found, payloads seen, the workflow ids taken back, now or before}
local seen, keep, group = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3]
local queue, wanted, left, taken, bytes = queue_of(group), {}, 0, {}, 0
for _, workflow_id in ipairs(rest(4)) do
  if redis.call('HEXISTS', K.start .. workflow_id, 'withdrawn') == 1 then
    taken[#taken + 1] = workflow_id
  else
    wanted[workflow_id], left = true, left + 1
  end
end
local length = waiting(group)
for _ = 1, MOST do
  if left == 0 or seen >= length or bytes >= MOST_BYTES then
    break
  end
  local payload = redis.call('LINDEX', queue, seen)
  local workflow_id = start_of(payload)
  bytes = bytes + #payload
  if workflow_id and wanted[workflow_id] then
    redis.call('LREM', queue, 1, payload)
    if redis.call('ZREM', K.order .. group, payload) == 1 then
      mark_urgent(group)
    end
    redis.call('HDEL', K.start .. workflow_id, 'state')
    redis.call('HSET', K.start .. workflow_id, 'withdrawn', now())
    redis.call('EXPIRE', K.start .. workflow_id, keep)
    wanted[workflow_id], left, length = nil, left - 1, length - 1
    taken[#taken + 1] = workflow_id
  else
    seen = seen + 1
  end
end
return { (left == 0 or seen >= length) and 1 or 0, seen, taken }
