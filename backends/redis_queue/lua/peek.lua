-- Looks at the payloads in some groups that the gateway did not push: those without an epoch (see walk). Changes nothing.
-- ARGV: seen, length, largest payload to be read in bytes, how many at each end of a list (0: all), groups
-- Returns {lists that were seen whole, seen, length, {group, SHA-1, size, fields, ...}}: `fields` is JSON of the texts task_id,
-- task_type, tenant_id, project_id, as far as there are any; '' for what is no task, or too large to be read.
local largest, ends, groups, lists, answer = tonumber(ARGV[3]), tonumber(ARGV[4]), rest(5), {}, {}
local LONGEST_NAME = 1000
for number, group in ipairs(groups) do
  lists[number] = queue_of(group)
end

-- The gateway writes the epoch as the last key, and whoever writes a payload back keeps the order.
local function is_own(payload)
  if string.find(payload, '"' .. K.epoch .. '": %d+}$', -60) then
    return true
  end
  if #payload > largest or not string.find(payload, K.epoch, 1, true) then
    return false
  end
  local object = parse(payload)
  return object ~= nil and object[K.epoch] ~= nil
end

local function fields_of(payload)
  local object = #payload <= largest and parse(payload) or nil
  if not object or type(object.task_type) ~= 'string' then
    return ''
  end
  local fields = {}
  for _, name in ipairs({ 'task_id', 'task_type', 'tenant_id', 'project_id' }) do
    local value = object[name]
    if type(value) == 'string' and value ~= '' then
      if #value > LONGEST_NAME then
        return ''
      end
      fields[name] = value
    end
  end
  return cjson.encode(fields)
end

local done, seen, length = walk(lists, tonumber(ARGV[1]), tonumber(ARGV[2]), ends > 0 and ends or nil, function(payload, number)
  if not is_own(payload) then
    answer[#answer + 1] = groups[number]
    answer[#answer + 1] = redis.sha1hex(payload)
    answer[#answer + 1] = #payload
    answer[#answer + 1] = fields_of(payload)
  end
end)
return { done, seen, length, answer }
