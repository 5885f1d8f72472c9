-- Renews the time of payloads that wait for long: a legacy recovery loop takes a task that waited past its type's limit
-- for stalled the moment it starts (contract R4). Only the gateway's own payloads, and only their last two keys: the
-- text before them stays byte for byte (cjson would turn empty lists into objects).
-- ARGV: oldest age in seconds, group, position to begin at, payloads to look at
-- A call looks at few, because each is read whole: whoever wants more calls again.
-- Returns how many were renewed, and how many wait in the group.
local oldest, group, first, count = now() - tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local tail = '^(.*"timestamp": )([%d%.eE+-]+)(, "' .. K.epoch .. '": %d+})$'
local list, length, renewed = queue_of(group), waiting(group), 0
if first >= length then
  return { 0, length }
end
for index, payload in ipairs(redis.call('LRANGE', list, first, first + count - 1)) do
  local head, at, rest = string.match(payload, tail)
  if head and tonumber(at) and tonumber(at) < oldest then
    local fresh = head .. string.format('%.6f', now()) .. rest
    redis.call('LSET', list, first + index - 1, fresh)
    local score = redis.call('ZSCORE', K.order .. group, payload)
    if score then
      redis.call('ZREM', K.order .. group, payload)
      redis.call('ZADD', K.order .. group, score, fresh)
    end
    renewed = renewed + 1
  end
end
return { renewed, length }
