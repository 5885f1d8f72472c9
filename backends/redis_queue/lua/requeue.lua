-- Puts back a start whose worker was lost, and frees that worker's lock on the group (see walk).
-- ARGV: seen, length, task id, fragment, epoch, group, seconds to keep the marker, then the list of legacy workers and lists of the
--       gateway's own, for this group
-- Returns {lists that were seen whole, seen, length, 1 = the start waits again}
local task_id, fragment, epoch, group, keep = ARGV[3], ARGV[4], tonumber(ARGV[5]), ARGV[6], tonumber(ARGV[7])
local lists, touched, waits = rest(8), {}, 0
local done, seen, length = walk(lists, tonumber(ARGV[1]), tonumber(ARGV[2]), nil, function(payload, number)
  if belongs(payload, task_id, fragment, epoch) then
    redis.call('LREM', lists[number], -1, payload)
    touched[lists[number]] = true
    if put_back(group, payload, keep) then
      waits = 1
    end
    return 'gone'
  end
end)
for list in pairs(touched) do
  if list == K.processing then
    -- A group runs one task at a time, so what holds its lock while this payload is a legacy worker's is that worker.
    local holder = redis.call('GET', lock_of(group))
    if holder and redis.call('SISMEMBER', K.workers, holder) == 0 then
      redis.call('DEL', lock_of(group))
    end
  else
    local worker = string.sub(list, #K.own + 1, -#group - 2)
    tidy(worker, group, redis.call('EXISTS', list) == 0)
  end
end
if waits == 1 then
  wake(group)
end
return { done, seen, length, waits }
