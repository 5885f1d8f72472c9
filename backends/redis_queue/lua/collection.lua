-- The values of K.collected, `<length of the group>:<group><payload>`; `wire.collected_parts` reads them in Python.

local function collection(group, payload)
  return #group .. ':' .. group .. payload
end

-- The group, and where the payload begins: whoever shows a part of it need not copy it.
local function group_and_start(value)
  local colon = string.find(value, ':', 1, true)
  local start = colon + 1 + tonumber(string.sub(value, 1, colon - 1))
  return string.sub(value, colon + 1, start - 1), start
end
