-- Adds those of the given groups to the active set whose list holds something.
-- ARGV: groups
-- Returns how many were missing there.
local added = 0
for _, group in ipairs(ARGV) do
  if waiting(group) > 0 then
    added = added + redis.call('SADD', K.active_groups, group)
  end
end
if added > 0 then
  wake('')
end
return added
