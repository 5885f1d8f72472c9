-- A worker that holds nothing is no worker any more.
-- ARGV: worker
-- Returns 0 when it holds something.
if redis.call('EXISTS', held_by(ARGV[1])) == 1 then
  return 0
end
redis.call('SREM', K.workers, ARGV[1])
return 1
