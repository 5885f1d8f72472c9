-- Pushes one start, once: SADD, RPUSH and the marker that makes a repetition harmless.
-- ARGV: workflow id, group, payload, seconds to keep the marker while the task waits
-- Returns the state that was found ('' = pushed now). A start that was cancelled before it came pushes nothing.
local workflow_id, group, payload, keep = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local marker = K.start .. workflow_id
local state = redis.call('HGET', marker, 'state')
if state then
  return state
end
redis.call('RPUSH', queue_of(group), payload)
redis.call('SADD', K.active_groups, group)
redis.call('HSET', marker, 'state', 'queued', 'group', group)
redis.call('EXPIRE', marker, keep)
redis.call('PUBLISH', K.wake, group)
return ''
