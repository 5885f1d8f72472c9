-- Reads fields of payloads that the gateway did not push. `largest`: payloads of more bytes are not read.

local LONGEST_NAME = 1000

-- The gateway writes the epoch at the end, and whoever writes a payload back keeps the order.
local function is_own(payload, largest)
  if epoch_at_end(payload) then
    return true
  end
  if #payload > largest or not string.find(payload, K.epoch, 1, true) then
    return false
  end
  local object = parse(payload)
  return object ~= nil and object[K.epoch] ~= nil
end

-- JSON of the texts under these names, as far as there are any, and the payload's time; '' for what is no task.
local function fields_of(payload, largest, names)
  local object = #payload <= largest and parse(payload) or nil
  if not object or type(object.task_type) ~= 'string' then
    return ''
  end
  local fields = {}
  for _, name in ipairs(names) do
    local value = object[name]
    if type(value) == 'string' and value ~= '' then
      if #value > LONGEST_NAME then
        return ''
      end
      fields[name] = value
    end
  end
  return cjson.encode(fields), object.timestamp
end
