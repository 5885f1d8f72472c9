-- Looks at the payloads in some groups that the gateway did not push: those without an epoch (see walk). Changes nothing.
-- ARGV: seen, length, largest payload to be read in bytes, how many at each end of a list (0: all), groups
-- Returns {lists that were seen whole, seen, length, {group, SHA-1, size, fields, ...}}: `fields` is JSON of the texts task_id,
-- task_type, tenant_id, project_id, as far as there are any; '' for what is no task, or too large to be read.
local largest, ends, groups, lists, answer = tonumber(ARGV[3]), tonumber(ARGV[4]), rest(5), {}, {}
local FIELDS = { 'task_id', 'task_type', 'tenant_id', 'project_id' }
for number, group in ipairs(groups) do
  lists[number] = queue_of(group)
end

local done, seen, length = walk(lists, tonumber(ARGV[1]), tonumber(ARGV[2]), ends > 0 and ends or nil, function(payload, number)
  if not is_own(payload, largest) then
    answer[#answer + 1] = groups[number]
    answer[#answer + 1] = redis.sha1hex(payload)
    answer[#answer + 1] = #payload
    answer[#answer + 1] = fields_of(payload, largest, FIELDS)
  end
end)
return { done, seen, length, answer }
