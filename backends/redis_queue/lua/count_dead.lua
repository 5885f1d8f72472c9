-- Counts the entries of the dead list by group, as far as they name one (see walk). Changes nothing.
-- ARGV: seen, length, list
-- Returns {1 = it was seen whole, seen, length, {group as JSON text, entries, youngest time, ...}}
local kinds, order, answer = {}, {}, {}
local done, seen, length = walk(rest(3), tonumber(ARGV[1]), tonumber(ARGV[2]), nil, function(entry)
  local group = string.match(string.sub(entry, 1, 4096), '"group": "([^"\\]*)", "payload": "') or ''
  local at = tonumber(string.match(string.sub(entry, -60), '"at": ([%d%.eE+-]+)}$') or 0)
  if not kinds[group] then
    kinds[group], order[#order + 1] = { 0, 0 }, group
  end
  local kind = kinds[group]
  kind[1], kind[2] = kind[1] + 1, math.max(kind[2], at)
end)
for _, group in ipairs(order) do
  answer[#answer + 1] = group
  answer[#answer + 1] = kinds[group][1]
  answer[#answer + 1] = string.format('%.3f', kinds[group][2])
end
return { done, seen, length, answer }
