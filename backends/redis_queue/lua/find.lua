-- Looks for a payload of one start in some lists (see walk).
-- ARGV: seen, length, task id, fragment, epoch, lists
-- Returns {lists that were seen whole, seen, length, 1 = the next list holds one}
local lists, found = rest(6), 0
local task_id, fragment, epoch = ARGV[3], ARGV[4], tonumber(ARGV[5])
local done, seen, length = walk(lists, tonumber(ARGV[1]), tonumber(ARGV[2]), nil, function(payload)
  if belongs(payload, task_id, fragment, epoch) then
    found = 1
    return 'enough'
  end
end)
return { done, seen, length, found }
