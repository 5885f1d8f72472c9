-- Pushes one start, once: SADD, RPUSH and the marker that makes a repetition harmless.
-- ARGV: workflow id, group, payload, seconds to keep the marker while the task waits, priority, tenant ('' = none), weight
-- Returns the state that was found ('' = pushed now). A start that was cancelled before it came, or taken back, pushes nothing; nor does
-- one that has ended: whoever asks for it has not heard of that, so its end is listed anew.
local workflow_id, group, payload, keep = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local priority, tenant, weight = tonumber(ARGV[5]), ARGV[6], tonumber(ARGV[7])
local marker = K.start .. workflow_id
local found = redis.call('HMGET', marker, 'state', 'cancel', 'withdrawn')
if FINAL[found[1] or ''] then
  redis.call('ZADD', K.ended, now(), workflow_id)
end
if found[1] or found[2] or found[3] then
  return found[1] or 'cancelled'
end
redis.call('RPUSH', queue_of(group), payload)
redis.call('SADD', K.active_groups, group)
if tenant ~= '' then
  redis.call('HSET', K.group_tenant, group, tenant)
  if weight == 1 then
    redis.call('HDEL', K.weights, tenant)
  else
    redis.call('HSET', K.weights, tenant, ARGV[7])
  end
end
join(tenant_of(group), group)
redis.call('HSET', marker, 'state', 'queued', 'group', group)
local place = new_place(group, priority)
if place then
  set_place(group, payload, place)
  redis.call('HSET', marker, 'score', place)
end
redis.call('EXPIRE', marker, keep)
wake(group)
return ''
