-- Renews the time of payloads that wait for long: a legacy recovery loop takes a task that waited past its type's limit
-- for stalled the moment it starts (contract R4). Only the gateway's own payloads, and only their time, which stands before
-- the epoch: the text around it stays byte for byte (cjson would turn empty lists into objects).
-- ARGV: seen, length (see walk), oldest age in seconds, groups
-- Returns {lists that were seen whole, seen, length, how many were renewed}.
local oldest, groups, lists, renewed = now() - tonumber(ARGV[3]), rest(4), {}, 0
for number, group in ipairs(groups) do
  lists[number] = queue_of(group)
end

-- The time of a payload of the gateway as text, and the first and last byte of that; nil for any other payload.
local function time_of(payload)
  for _, ending in ipairs(ENDINGS) do
    local tail = string.sub(payload, -ending.most)
    local first, at, last = string.match(tail, ', "timestamp": ()([%d%.eE+-]+)()' .. ending.epoch)
    if first then
      local before = #payload - #tail
      return at, before + first, before + last - 1
    end
  end
  return nil
end

local done, seen, length = walk(lists, tonumber(ARGV[1]), tonumber(ARGV[2]), nil, function(payload, number, index)
  local at, first, last = time_of(payload)
  if at and tonumber(at) and tonumber(at) < oldest then
    local fresh = string.sub(payload, 1, first - 1) .. string.format('%.6f', now()) .. string.sub(payload, last + 1)
    redis.call('LSET', lists[number], index, fresh)
    local place = redis.call('ZSCORE', K.order .. groups[number], payload)
    if place then
      redis.call('ZREM', K.order .. groups[number], payload)
      redis.call('ZADD', K.order .. groups[number], place, fresh)
    end
    renewed = renewed + 1
  end
end)
return { done, seen, length, renewed }
