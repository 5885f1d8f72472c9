-- What was collected and is not yet settled.
-- ARGV: id of the entry, largest payload in bytes, bytes to show of a larger one
-- Returns nil, or {group, payload, size}; a payload over the limit is cut.
local value = redis.call('HGET', K.collected, ARGV[1])
if not value then
  return nil
end
local group, start = group_and_start(value)
local size = #value - start + 1
local shown = size > tonumber(ARGV[2]) and tonumber(ARGV[3]) or size
return { group, string.sub(value, start, start + shown - 1), size }
