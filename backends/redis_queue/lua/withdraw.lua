-- Takes back starts that wait in the lists of their groups, each seen from its left end, where the oldest are; what a worker has is in
-- no such list. From then on the start is neither pushed nor put back: its marker says so, and has no state any more.
-- ARGV: seconds to keep a marker, then for each group: payloads seen before, group, how many workflow ids, the ids
-- Returns for each group {1 = its list was seen whole or nothing is left to be found, payloads seen, the ids taken back, now or before}
local keep, at, reads, bytes, answers = tonumber(ARGV[1]), 2, 0, 0, {}

local function withdraw(group, seen, wanted, left, taken)
  local queue, length = queue_of(group), waiting(group)
  while left > 0 and seen < length and reads < MOST and bytes < MOST_BYTES do
    local payload = redis.call('LINDEX', queue, seen)
    local workflow_id = start_of(payload)
    reads, bytes = reads + 1, bytes + #payload
    if workflow_id and wanted[workflow_id] then
      redis.call('LREM', queue, 1, payload)
      if redis.call('ZREM', K.order .. group, payload) == 1 then
        mark_urgent(group)
      end
      redis.call('HDEL', K.start .. workflow_id, 'state')
      redis.call('HSET', K.start .. workflow_id, 'withdrawn', now())
      redis.call('EXPIRE', K.start .. workflow_id, keep)
      wanted[workflow_id], left, length = nil, left - 1, length - 1
      taken[#taken + 1] = workflow_id
    else
      seen = seen + 1
    end
  end
  return { (left == 0 or seen >= length) and 1 or 0, seen, taken }
end

while ARGV[at] do
  local seen, group, last = tonumber(ARGV[at]), ARGV[at + 1], at + 2 + tonumber(ARGV[at + 2])
  local wanted, left, taken = {}, 0, {}
  for index = at + 3, last do
    local workflow_id = ARGV[index]
    if redis.call('HEXISTS', K.start .. workflow_id, 'withdrawn') == 1 then
      taken[#taken + 1] = workflow_id
    else
      wanted[workflow_id], left = true, left + 1
    end
  end
  answers[#answers + 1], at = withdraw(group, seen, wanted, left, taken), last + 1
end
return answers
