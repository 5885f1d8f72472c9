-- Renews the time of payloads that wait for long: a legacy recovery loop takes a task that waited past its type's limit
-- for stalled the moment it starts (contract R4). Only the gateway's own payloads, and only their last two keys: the
-- text before them stays byte for byte (cjson would turn empty lists into objects).
-- ARGV: oldest age in seconds, groups at most, payloads at most in all; the groups are chosen at random
-- Returns how many were renewed.
local oldest, budget, renewed = now() - tonumber(ARGV[1]), tonumber(ARGV[3]), 0
local tail = '^(.*"timestamp": )([%d%.eE+-]+)(, "' .. K.epoch .. '": %d+})$'
for _, group in ipairs(redis.call('SRANDMEMBER', K.active_groups, tonumber(ARGV[2]))) do
  local list = queue_of(group)
  local last = math.min(waiting(group), budget) - 1
  if last >= 0 then
    budget = budget - last - 1
    for index, payload in ipairs(redis.call('LRANGE', list, 0, last)) do
      local head, at, rest = string.match(payload, tail)
      if head and tonumber(at) and tonumber(at) < oldest then
        local fresh = head .. string.format('%.6f', now()) .. rest
        redis.call('LSET', list, index - 1, fresh)
        local score = redis.call('ZSCORE', K.order .. group, payload)
        if score then
          redis.call('ZREM', K.order .. group, payload)
          redis.call('ZADD', K.order .. group, score, fresh)
        end
        renewed = renewed + 1
      end
    end
  end
end
return renewed
