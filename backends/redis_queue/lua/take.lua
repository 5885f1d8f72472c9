-- Moves a payload that the gateway did not push out of its group's list, into the gateway's own keeping.
-- ARGV: group, SHA-1 of the payload, id of the entry
-- Returns 1, or 0 when the list no longer holds it.
local group, digest, entry = ARGV[1], ARGV[2], ARGV[3]
local queue = queue_of(group)
for first = 0, waiting(group) - 1, 200 do
  for _, payload in ipairs(redis.call('LRANGE', queue, first, first + 199)) do
    if redis.sha1hex(payload) == digest then
      redis.call('LREM', queue, 1, payload)
      redis.call('HSET', K.taken, entry, #group .. ':' .. group .. payload)
      return 1
    end
  end
end
return 0
