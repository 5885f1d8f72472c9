-- The starts that ended at or after a time, oldest first.
-- ARGV: Unix time, how many to pass over, 0: without those that completed
-- Returns {how many were looked at, workflow id, state, error, ...}
local ids = redis.call('ZRANGEBYSCORE', K.ended, ARGV[1], '+inf', 'LIMIT', tonumber(ARGV[2]), MOST)
local answer = { #ids }
for _, workflow_id in ipairs(ids) do
  local marker = redis.call('HMGET', K.start .. workflow_id, 'state', 'error')
  if FINAL[marker[1] or ''] and (ARGV[3] == '1' or marker[1] ~= 'completed') then
    answer[#answer + 1] = workflow_id
    answer[#answer + 1] = marker[1]
    answer[#answer + 1] = marker[2] or ''
  end
end
return answer
