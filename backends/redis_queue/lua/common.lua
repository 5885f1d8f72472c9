-- Stands before every script, after the table K of keys (made from wire.py).
-- Keys are computed from group and worker, so none are declared: the legacy wire is one Redis, not a cluster.

local FINAL = { completed = true, failed = true, cancelled = true, terminated = true, timed_out = true }

local function now()
  local time = redis.call('TIME')
  return tonumber(time[1]) + tonumber(time[2]) / 1000000
end

local function queue_of(group)
  return K.group .. group
end

-- How many payloads wait in a group; a key of another type, which no producer makes, is an empty list.
local function waiting(group)
  local length = redis.pcall('LLEN', queue_of(group))
  return type(length) == 'number' and length or 0
end

local function lock_of(group)
  return K.lock .. group
end

local function held_by(worker)
  return K.held .. worker
end

local function own_list(worker, group)
  return K.own .. worker .. ':' .. group
end

local function parse(payload)
  local ok, object = pcall(cjson.decode, payload)
  if ok and type(object) == 'table' and type(object.task_id) == 'string' then
    return object
  end
  return nil
end

-- The id of the start that pushed this payload; nil for a payload that the gateway did not push.
local function start_of(payload)
  local object = parse(payload)
  local epoch = object and tonumber(object[K.epoch])
  if not epoch then
    return nil
  end
  if epoch == 1 then
    return 'task-' .. object.task_id
  end
  return string.format('task-%s-%d', object.task_id, epoch)
end

-- The payloads in a list that belong to one start. A payload without epoch belongs to every start of its task:
-- the legacy recovery made it from the row. `fragment` spares parsing what cannot be meant. `enough` ends the search.
local function find(list, task_id, fragment, epoch, enough)
  local found = {}
  local length = redis.call('LLEN', list)
  for first = 0, length - 1, 200 do
    for _, payload in ipairs(redis.call('LRANGE', list, first, first + 199)) do
      if string.find(payload, fragment, 1, true) then
        local object = parse(payload)
        if object and object.task_id == task_id then
          local its_epoch = tonumber(object[K.epoch])
          if its_epoch == nil or its_epoch == epoch then
            found[#found + 1] = payload
            if #found == enough then
              return found
            end
          end
        end
      end
    end
  end
  return found
end

-- Ends a start: the first end counts. `keep` is in seconds.
local function end_start(workflow_id, state, error_text, result, keep)
  local marker = K.start .. workflow_id
  if FINAL[redis.call('HGET', marker, 'state') or ''] then
    return
  end
  local at = now()
  redis.call('HSET', marker, 'state', state, 'error', error_text, 'result', result)
  redis.call('EXPIRE', marker, keep)
  redis.call('ZADD', K.ended, at, workflow_id)
  redis.call('ZREMRANGEBYSCORE', K.ended, '-inf', at - keep)
end

-- Makes a payload the next of its group, unless its start was cancelled while it was away; true when it waits again.
local function put_back(group, payload, keep)
  local workflow_id, score = start_of(payload), nil
  if workflow_id then
    local marker = redis.call('HMGET', K.start .. workflow_id, 'state', 'cancel', 'score')
    score = marker[3]
    if FINAL[marker[1] or ''] then
      return false
    end
    if marker[2] then
      end_start(workflow_id, 'cancelled', marker[2], 'null', keep)
      return false
    end
  end
  redis.call('LPUSH', queue_of(group), payload)
  redis.call('SADD', K.active_groups, group)
  if score then -- of another priority than the ordinary
    redis.call('ZADD', K.order .. group, score, payload)
    redis.call('ZADD', K.urgent, score, group) -- whoever picks takes it out again when it is not urgent
  end
  return true
end

-- Called when a worker gave a payload away: forgets the group when nothing of it is left with the worker.
local function tidy(worker, group, release)
  if redis.call('EXISTS', own_list(worker, group)) == 0 then
    redis.call('SREM', held_by(worker), group)
  end
  if release and redis.call('GET', lock_of(group)) == worker then
    redis.call('DEL', lock_of(group))
  end
  if waiting(group) > 0 then
    redis.call('PUBLISH', K.wake, group)
  end
end
