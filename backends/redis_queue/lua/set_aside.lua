-- Moves a payload that is no task from the worker's own list to the dead list, in the form the worker chose.
-- ARGV: worker, group, SHA-1 of the payload, '1' = give back the lock, entry for the dead list
local worker, group, digest, release, entry = ARGV[1], ARGV[2], ARGV[3], ARGV[4] == '1', ARGV[5]
local mine = own_list(worker, group)
local moved = 0
for _, payload in ipairs(redis.call('LRANGE', mine, 0, -1)) do
  if moved == 0 and redis.sha1hex(payload) == digest then
    moved = redis.call('LREM', mine, 1, payload)
    redis.call('RPUSH', K.dead, entry)
  end
end
tidy(worker, group, release)
return moved
