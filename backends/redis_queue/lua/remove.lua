-- Removes the payloads of a cancelled start from its group's list (see walk).
-- ARGV: seen, length, task id, fragment, epoch, group
-- Returns {1 = the list was seen whole, seen, length, how many were removed}
local task_id, fragment, epoch, group = ARGV[3], ARGV[4], tonumber(ARGV[5]), ARGV[6]
local queue, removed = queue_of(group), 0
local done, seen, length = walk({ queue }, tonumber(ARGV[1]), tonumber(ARGV[2]), nil, function(payload)
  if belongs(payload, task_id, fragment, epoch) then
    redis.call('LREM', queue, -1, payload)
    if redis.call('ZREM', K.order .. group, payload) == 1 then
      mark_urgent(group)
    end
    removed = removed + 1
    return 'gone'
  end
end)
return { done, seen, length, removed }
