-- A worker is done with a payload: takes it off the worker's own list, then ends its start, puts it back or drops it.
-- Does nothing when the list no longer holds the payload (a repetition, or the worker was given up meanwhile).
-- ARGV: seen, length (see walk), worker, SHA-1 of the payload, '1' = give back the lock, 'end' | 'back' | 'drop',
--       seconds to keep the marker, for 'end': workflow id ('' = no start of the gateway's), state, error, result; group
-- A dropped payload says nothing of its start: it may have been a copy. Returns {1 = the payload was found or is not there, seen, length}.
local worker, digest, release, what, keep = ARGV[3], ARGV[4], ARGV[5] == '1', ARGV[6], tonumber(ARGV[7])
local workflow_id, state, error_text, result, group = ARGV[8], ARGV[9], ARGV[10], ARGV[11], ARGV[12]
local mine, removed = own_list(worker, group), nil
local done, seen, length = walk({ mine }, tonumber(ARGV[1]), tonumber(ARGV[2]), nil, function(payload)
  if redis.sha1hex(payload) == digest then
    redis.call('LREM', mine, -1, payload)
    removed = payload
    return 'enough'
  end
end)
if not removed and done == 0 then
  return { 0, seen, length }
end
if removed and what == 'back' then
  put_back(group, removed, keep)
elseif removed and what == 'end' and workflow_id ~= '' then
  end_start(workflow_id, state, error_text, result, keep)
end
tidy(worker, group, release)
return { 1, 0, 0 }
