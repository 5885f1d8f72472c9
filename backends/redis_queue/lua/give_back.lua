-- Puts back what a worker's lists hold and it does not run: all of a dead worker's, or, of a living one, what it was
-- given in an answer that it never received (see walk).
-- ARGV: seen, length, worker, seconds to keep markers, how many payloads it does run, SHA-1 of each of those, how many tasks are over,
--       ids of those (their payloads without an epoch are removed: there is no marker that would say it), groups
-- Returns {lists that were seen whole, seen, length, how many payloads wait again}.
local worker, keep, running = ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
local ended = tonumber(ARGV[6 + running])
local groups, lists, runs, over, count = rest(7 + running + ended), {}, {}, {}, 0
for index = 6, 5 + running do
  runs[ARGV[index]] = true
end
for index = 7 + running, 6 + running + ended do
  over[ARGV[index]] = true
end

local function is_over(payload)
  if next(over) == nil then
    return false
  end
  local task_id, epoch = identity(payload)
  return task_id and not epoch and over[task_id]
end

for number, group in ipairs(groups) do
  lists[number] = own_list(worker, group)
end
local done, seen, length = walk(lists, tonumber(ARGV[1]), tonumber(ARGV[2]), nil, function(payload, number)
  if next(runs) == nil or not runs[redis.sha1hex(payload)] then
    redis.call('LREM', lists[number], -1, payload)
    if not is_over(payload) and put_back(groups[number], payload, keep) then
      count = count + 1
    end
    return 'gone'
  end
end)
for number = 1, done do
  if redis.call('EXISTS', lists[number]) == 0 then
    tidy(worker, groups[number], true)
  end
end
return { done, seen, length, count }
