-- Notes the end of a start that no worker reports: the first end counts, and what remains is the marker.
-- ARGV: workflow id, state, error, seconds to keep the marker
end_start(ARGV[1], ARGV[2], ARGV[3], 'null', tonumber(ARGV[4]))
return 1
