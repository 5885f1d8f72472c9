-- Which starts have not ended, as far as Redis knows.
-- ARGV: workflow ids
-- Returns their places in ARGV, the first is 0.
local found = {}
for place, workflow_id in ipairs(ARGV) do
  if not FINAL[redis.call('HGET', K.start .. workflow_id, 'state') or ''] then
    found[#found + 1] = place - 1
  end
end
return found
