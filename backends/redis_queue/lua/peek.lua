-- Looks at the payloads in some groups that the gateway did not push: those without an epoch. Changes nothing.
-- ARGV: largest payload to be read in bytes, first ('ends': both ends of each list), how many at most, groups
-- Returns {groups whose list was not seen whole, group, SHA-1, size, fields, ...}: `fields` is JSON of the texts task_id,
-- task_type, tenant_id, project_id, as far as there are any; '' for what is no task, or too large to be read.
local largest, first, most = tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[3])
local LONGEST_NAME = 1000

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

local long, answer = {}, {}

local function look(group, from, to)
  for _, payload in ipairs(redis.call('LRANGE', queue_of(group), from, to)) do
    if not is_own(payload) then
      answer[#answer + 1] = group
      answer[#answer + 1] = redis.sha1hex(payload)
      answer[#answer + 1] = #payload
      answer[#answer + 1] = fields_of(payload)
    end
  end
end

for index = 4, #ARGV do
  local group = ARGV[index]
  local length = waiting(group)
  if length == 0 then
    -- A key of another type counts as an empty list.
  elseif first ~= 'ends' then
    look(group, tonumber(first), tonumber(first) + most - 1)
  elseif length <= most then
    look(group, 0, -1)
  else
    long[#long + 1] = group
    look(group, 0, math.floor(most / 2) - 1)
    look(group, -math.floor(most / 2), -1)
  end
end
table.insert(answer, 1, long)
return answer
