-- Where one start stands: its marker once it has ended, else the list that holds its payload.
-- ARGV: workflow id, group, task id, fragment, epoch
-- A list of more than LONG payloads is not searched for a start that was pushed to it: somebody who compares many
-- starts with it would block everybody else. What is wrong then shows as soon as the list is shorter.
-- Returns {state, error, result}; state '' = neither ended nor in any list.
local workflow_id, group, task_id, fragment, epoch = ARGV[1], ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5])
local LONG = 1000
local marker = redis.call('HMGET', K.start .. workflow_id, 'state', 'error', 'result')
if FINAL[marker[1] or ''] then
  return { marker[1], marker[2] or '', marker[3] or '' }
end
for _, worker in ipairs(redis.call('SMEMBERS', K.workers)) do
  if #find(own_list(worker, group), task_id, fragment, epoch, 1) > 0 then
    return { 'running', '', '' }
  end
end
if #find(K.processing, task_id, fragment, epoch, 1) > 0 then
  return { 'running', '', '' }
end
if marker[1] and waiting(group) > LONG then
  return { 'queued', '', '' }
end
if #find(queue_of(group), task_id, fragment, epoch, 1) > 0 then
  return { 'queued', '', '' }
end
return { '', '', '' }
