-- Puts back what a worker's lists hold and it does not run: all of a dead worker's, or, of a living one, what it was
-- given in an answer that it never received.
-- ARGV: worker, '1' = the worker is dead, seconds to keep markers, then for each payload that it does run its SHA-1
-- Returns how many payloads wait again.
local worker, dead, keep = ARGV[1], ARGV[2] == '1', tonumber(ARGV[3])
local runs = {}
for index = 4, #ARGV do
  runs[ARGV[index]] = true
end
local count = 0
for _, group in ipairs(redis.call('SMEMBERS', held_by(worker))) do
  local mine = own_list(worker, group)
  local payloads = redis.call('LRANGE', mine, 0, -1)
  for index = #payloads, 1, -1 do
    local payload = payloads[index]
    if next(runs) == nil or not runs[redis.sha1hex(payload)] then
      redis.call('LREM', mine, 1, payload)
      if put_back(group, payload, keep) then
        count = count + 1
      end
    end
  end
  tidy(worker, group, redis.call('EXISTS', mine) == 0)
end
if dead then
  redis.call('SREM', K.workers, worker)
end
return count
