-- The starts of one group that some list holds, in one pass over the lists.
-- ARGV: group
-- Returns workflow ids; `task-<id>` with a trailing '*' for a payload without epoch, which belongs to every start.
local group, found = ARGV[1], {}
local function collect(list)
  for first = 0, redis.call('LLEN', list) - 1, 200 do
    for _, payload in ipairs(redis.call('LRANGE', list, first, first + 199)) do
      -- Our own payloads end with their epoch: the last keys spare parsing megabytes of content.
      local task_id = string.match(payload, '^{"task_type": "[^"\\]*", "task_id": "([^"\\]*)"')
      local epoch = string.match(payload, ', "' .. K.epoch .. '": (%d+)}$')
      if task_id and epoch then
        found[#found + 1] = epoch == '1' and 'task-' .. task_id or 'task-' .. task_id .. '-' .. epoch
      else
        local object = parse(payload)
        if object then
          found[#found + 1] = start_of(payload) or 'task-' .. object.task_id .. '*'
        end
      end
    end
  end
end
if waiting(group) > 0 then
  collect(queue_of(group))
end
for _, worker in ipairs(redis.call('SMEMBERS', K.workers)) do
  collect(own_list(worker, group))
end
collect(K.processing)
return found
