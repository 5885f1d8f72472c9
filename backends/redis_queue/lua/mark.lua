-- How far a database has come: the highest number is kept, and the one before is returned.
-- ARGV: the database's id, its number
local before = tonumber(redis.call('HGET', K.mark, ARGV[1]) or '0')
if tonumber(ARGV[2]) > before then
    redis.call('HSET', K.mark, ARGV[1], ARGV[2])
end
return before
