-- The id of this memory: a key that goes with it, and the server's run, because a restart may lose the last writes.
-- ARGV: a random id, used when there is none yet
redis.call('SET', K.incarnation, ARGV[1], 'NX')
local run = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')
return redis.call('GET', K.incarnation) .. '-' .. (run or '')
