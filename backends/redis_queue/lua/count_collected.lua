-- Counts what was collected and is not yet settled. Changes nothing.
-- ARGV: largest payload to be read in bytes, ids of entries
-- Returns {how many entries were looked at, what `tally.lua` answers; instead of the number of a list, the group}
local largest, seen, bytes, tallies, answer = tonumber(ARGV[1]), 0, 0, {}, { 0 }
for _, entry in ipairs(rest(2)) do
  if seen >= MOST or bytes >= MOST_BYTES then
    break
  end
  local value = redis.call('HGET', K.collected, entry)
  seen = seen + 1
  if value then
    local group, start = group_and_start(value)
    bytes = bytes + #value
    local add, found = new_tally(largest)
    add(string.sub(value, start), group)
    for index, field in ipairs(found()) do
      if index == 1 then
        answer[1] = answer[1] + field
      else
        answer[#answer + 1] = field
      end
    end
  end
end
return { seen, answer }
