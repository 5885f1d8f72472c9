-- The starts that ended at or after a time, oldest first.
-- ARGV: Unix time, how many at most, 0: without those that completed
-- Returns {workflow id, state, error, ...}
local answer = {}
for _, workflow_id in ipairs(redis.call('ZRANGEBYSCORE', K.ended, ARGV[1], '+inf', 'LIMIT', 0, tonumber(ARGV[2]))) do
  local marker = redis.call('HMGET', K.start .. workflow_id, 'state', 'error')
  if FINAL[marker[1] or ''] and (ARGV[3] == '1' or marker[1] ~= 'completed') then
    answer[#answer + 1] = workflow_id
    answer[#answer + 1] = marker[1]
    answer[#answer + 1] = marker[2] or ''
  end
end
return answer
