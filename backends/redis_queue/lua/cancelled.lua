-- The last step of a cancellation: the start is in no list, so it has ended; what remains is the marker.
-- ARGV: workflow id, reason, seconds to keep the marker
end_start(ARGV[1], 'cancelled', ARGV[2], 'null', tonumber(ARGV[3]))
return 1
