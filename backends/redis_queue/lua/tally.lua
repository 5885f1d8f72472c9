-- Counts payloads by what they say of themselves.

local NAMES = { 'group_id', 'task_type', 'tenant_id', 'project_id' }

-- `add(payload, number of the list)`; `answer()`: {own, number of the list, fields, tasks, youngest time, ...}, the rest of those
-- that the gateway did not push.
local function new_tally(largest)
  local own, kinds, order = 0, {}, {}
  local function add(payload, number)
    if is_own(payload, largest) then
      own = own + 1
      return
    end
    local fields, at = fields_of(payload, largest, NAMES)
    local key = number .. ':' .. fields
    local kind = kinds[key]
    if not kind then
      kind = { number, fields, 0, 0 }
      kinds[key], order[#order + 1] = kind, kind
    end
    kind[3] = kind[3] + 1
    if type(at) == 'number' and at > kind[4] then
      kind[4] = at
    end
  end
  local function answer()
    local found = { own }
    for _, kind in ipairs(order) do
      found[#found + 1] = kind[1]
      found[#found + 1] = kind[2]
      found[#found + 1] = kind[3]
      found[#found + 1] = string.format('%.3f', kind[4])
    end
    return found
  end
  return add, answer
end
