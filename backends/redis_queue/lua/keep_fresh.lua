-- Renews the time of payloads that wait for long: a legacy recovery loop takes a task that waited past its type's limit
-- for stalled the moment it starts (contract R4). Only the gateway's own payloads, and only their last two keys: the
-- text before them stays byte for byte (cjson would turn empty lists into objects).
-- ARGV: seen, length (see walk), oldest age in seconds, groups
-- Returns {lists that were seen whole, seen, length, how many were renewed}.
local oldest, groups, lists, renewed = now() - tonumber(ARGV[3]), rest(4), {}, 0
for number, group in ipairs(groups) do
  lists[number] = queue_of(group)
end
local tail = '^(, "timestamp": )([%d%.eE+-]+)(, "' .. K.epoch .. '": %d+})$'
local done, seen, length = walk(lists, tonumber(ARGV[1]), tonumber(ARGV[2]), nil, function(payload, number, index)
  local from = string.find(string.sub(payload, -100), ', "timestamp": [%d%.eE+-]+, "' .. K.epoch .. '": %d+}$')
  if not from then
    return
  end
  local head = math.max(0, #payload - 100) + from - 1
  local key, at, rest_of_it = string.match(string.sub(payload, head + 1), tail)
  if tonumber(at) and tonumber(at) < oldest then
    local fresh = string.sub(payload, 1, head) .. key .. string.format('%.6f', now()) .. rest_of_it
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
