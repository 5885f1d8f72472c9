-- The starts that some lists hold (see walk).
-- ARGV: seen, length, lists
-- Returns {lists that were seen whole, seen, length, workflow ids}; `task-<id>` with a trailing '*' for a payload without epoch, which
-- belongs to every start.
local found = {}
local done, seen, length = walk(rest(3), tonumber(ARGV[1]), tonumber(ARGV[2]), nil, function(payload)
  local task_id, epoch = identity(payload)
  if task_id then
    found[#found + 1] = epoch and id_of_start(task_id, epoch) or 'task-' .. task_id .. '*'
  end
end)
return { done, seen, length, found }
