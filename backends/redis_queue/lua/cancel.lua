-- The first step of a cancellation: from now on the start is not pushed, nor put back when its worker is lost.
-- ARGV: workflow id, reason, seconds to keep the marker
-- Returns 0 when it has ended.
local marker = K.start .. ARGV[1]
if FINAL[redis.call('HGET', marker, 'state') or ''] then
  return 0
end
redis.call('HSET', marker, 'cancel', ARGV[2])
redis.call('EXPIRE', marker, ARGV[3])
return 1
