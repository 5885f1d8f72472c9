-- Counts what some lists hold (see walk). Changes nothing.
-- ARGV: seen, length, largest payload to be read in bytes, lists
-- Returns {lists that were seen whole, seen, length, what `tally.lua` answers}
local add, answer = new_tally(tonumber(ARGV[3]))
local done, seen, length = walk(rest(4), tonumber(ARGV[1]), tonumber(ARGV[2]), nil, function(payload, number)
  add(payload, number)
end)
return { done, seen, length, answer() }
