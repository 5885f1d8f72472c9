-- Moves a payload that the gateway did not push out of its group's list, into the gateway's own keeping (see walk).
-- ARGV: seen, length, SHA-1 of the payload, its size, id of the entry, group
-- Returns {1 = it was collected or is not there, seen, length}.
local digest, size, entry, group = ARGV[3], tonumber(ARGV[4]), ARGV[5], ARGV[6]
local queue, collected = queue_of(group), false
local done, seen, length = walk({ queue }, tonumber(ARGV[1]), tonumber(ARGV[2]), nil, function(payload)
  if #payload == size and redis.sha1hex(payload) == digest then
    redis.call('LREM', queue, -1, payload)
    redis.call('HSET', K.collected, entry, collection(group, payload))
    collected = true
    return 'enough'
  end
end)
return { collected and 1 or done, seen, length }
