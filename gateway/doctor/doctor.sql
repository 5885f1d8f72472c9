-- What `taskgate doctor` asks beside what other parts ask already.

-- name: clock
SELECT extract(epoch FROM clock_timestamp())::float8

-- name: server
SELECT current_setting('server_version') AS version, current_user AS who, current_database() AS name

-- name: revision
SELECT version_num FROM taskgate.alembic_version

-- name: troubled_duties
-- Messages that an engine has refused or not answered $1 times or more while it confirmed others.
SELECT backend, count(*) AS duties FROM taskgate.engine_duty WHERE failures >= $1 GROUP BY backend ORDER BY backend

-- name: dead_letters
-- Open ones in all, of the last hour, and of the 23 hours before it on average.
SELECT count(*) AS open, count(*) FILTER (WHERE died_at > now() - interval '1 hour') AS lately,
       (count(*) FILTER (WHERE died_at BETWEEN now() - interval '1 day' AND now() - interval '1 hour') / 23.0)::float8 AS before
FROM taskgate.dead_letter WHERE state = 'open'
