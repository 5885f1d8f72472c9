-- A worker is done with a payload: takes it off the worker's own list, then ends its start, puts it back or drops it.
-- Does nothing when the list no longer holds the payload (a repetition, or the worker was given up meanwhile).
-- ARGV: worker, group, SHA-1 of the payload, '1' = give back the lock, 'end' | 'back' | 'drop',
--       seconds to keep the marker; for 'end': workflow id ('' = no start of the gateway's), state, error, result
-- A dropped payload says nothing of its start: it may have been a copy. Returns 1 when the list held the payload.
local worker, group, digest, release, what = ARGV[1], ARGV[2], ARGV[3], ARGV[4] == '1', ARGV[5]
local keep, workflow_id, state, error_text, result = tonumber(ARGV[6]), ARGV[7], ARGV[8], ARGV[9], ARGV[10]
local mine = own_list(worker, group)
local removed = nil
for _, payload in ipairs(redis.call('LRANGE', mine, 0, -1)) do
  if not removed and redis.sha1hex(payload) == digest then
    redis.call('LREM', mine, 1, payload)
    removed = payload
  end
end
if removed and what == 'back' then
  put_back(group, removed, keep)
elseif removed and what == 'end' and workflow_id ~= '' then
  end_start(workflow_id, state, error_text, result, keep)
end
tidy(worker, group, release)
return removed and 1 or 0
