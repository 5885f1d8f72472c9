-- Moves a payload that is no task from the worker's own list to the dead list, in the form the worker chose.
-- ARGV: seen, length (see walk), worker, SHA-1 of the payload, '1' = give back the lock, entry for the dead list,
--       '1' if the entry holds a part only: the whole payload stays here then, under its SHA-1; group
-- Returns {1 = the payload was found or is not there, seen, length}.
local worker, digest, release, entry, is_cut, group = ARGV[3], ARGV[4], ARGV[5] == '1', ARGV[6], ARGV[7] == '1', ARGV[8]
local mine, found = own_list(worker, group), false
local done, seen, length = walk({ mine }, tonumber(ARGV[1]), tonumber(ARGV[2]), nil, function(payload)
  if redis.sha1hex(payload) == digest then
    redis.call('LREM', mine, -1, payload)
    redis.call('RPUSH', K.dead, entry)
    if is_cut then
      redis.call('HSET', K.dead_large, digest, payload)
    end
    found = true
    return 'enough'
  end
end)
if not found and done == 0 then
  return { 0, seen, length }
end
tidy(worker, group, release)
return { 1, 0, 0 }
