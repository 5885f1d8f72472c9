-- Stands before every script, after the table K of keys (made from wire.py).
-- Keys are computed from group and worker, so none are declared: the legacy wire is one Redis, not a cluster.
-- While a script runs nobody else is served. So none looks at more than MOST elements, nor reads payloads of more than
-- MOST_BYTES but for the last: what is longer is seen page by page, a script each (see walk, and pages.py).

local FINAL = { completed = true, failed = true, cancelled = true, terminated = true, timed_out = true }
-- A walk reads up to AT_ONCE payloads in one command, as Redis looks for a place in a long list from its end.
local MOST, MOST_BYTES, AT_ONCE = 200, 512 * 1024, 16

local function now()
  local time = redis.call('TIME')
  return tonumber(time[1]) + tonumber(time[2]) / 1000000
end

-- Wakes workers that wait for something to do. A hint: if it is refused (Redis 7 gives a new user no channel), what was written stands.
local function wake(group)
  redis.pcall('PUBLISH', K.wake, group)
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

-- How a payload of the gateway ends: with its epoch. Some were written with a trace behind that; `most` bytes are enough.
local ENDINGS = {
  { most = 100, epoch = ', "' .. K.epoch .. '": (%d+)}$' },
  { most = 512, epoch = ', "' .. K.epoch .. '": (%d+), "' .. K.trace .. '": {[^{}]*}}$' },
}

-- The epoch at the end of a payload, as text; nil for what does not end as the gateway's payloads do.
local function epoch_at_end(payload)
  for _, ending in ipairs(ENDINGS) do
    local epoch = string.match(string.sub(payload, -ending.most), ending.epoch)
    if epoch then
      return epoch
    end
  end
  return nil
end

-- The task and the epoch of a payload; epoch nil: the gateway did not push it; task nil: it is no task.
-- The gateway writes the task id as the second key and the epoch at the end: that spares parsing its payloads.
local function identity(payload)
  local task_id = string.match(payload, '^{"task_type": "[^"\\]*", "task_id": "([^"\\]*)"')
  local epoch = epoch_at_end(payload)
  if task_id and epoch then
    return task_id, tonumber(epoch)
  end
  local object = parse(payload)
  if object then
    return object.task_id, tonumber(object[K.epoch])
  end
  return nil
end

local function id_of_start(task_id, epoch)
  return epoch == 1 and 'task-' .. task_id or string.format('task-%s-%d', task_id, epoch)
end

-- The id of the start that pushed this payload; nil for a payload that the gateway did not push.
local function start_of(payload)
  local task_id, epoch = identity(payload)
  return epoch and id_of_start(task_id, epoch) or nil
end

-- Whether a payload belongs to a start. One without epoch belongs to every start of its task: the legacy recovery made it
-- from the row. `fragment` spares parsing what cannot be meant.
local function belongs(payload, task_id, fragment, epoch)
  local head = string.match(payload, '^{"task_type": "[^"\\]*", "task_id": "([^"\\]*)"')
  if not (head == task_id or string.find(payload, fragment, 1, true)) then
    return false
  end
  local its_task, its_epoch = identity(payload)
  return its_task == task_id and (its_epoch == nil or its_epoch == epoch)
end

-- Shows payloads one by one, each list from its right end, until so much was seen that others must be served.
-- `seen` payloads of the first list were shown before, when it was `length` long; what was taken out since moved the others
-- to the right. `visit(payload, number of the list, index)` answers 'gone' when it took the payload out, 'enough' to end the walk.
-- With `ends`, only so many at each end of a list are shown.
-- Returns how many lists were seen whole, and `seen` and `length` of the next.
local function walk(lists, seen, length, ends, visit)
  local count, bytes, largest = 0, 0, MOST_BYTES
  for number, list in ipairs(lists) do
    local page = {}
    local is_now = redis.pcall('LLEN', list)
    is_now = type(is_now) == 'number' and is_now or 0
    seen = math.max(0, seen - math.max(0, length - is_now))
    while seen < is_now do
      if count >= MOST or bytes >= MOST_BYTES then
        return number - 1, seen, is_now
      end
      if ends and seen == ends and is_now > 2 * ends then
        seen, page = is_now - ends, {}
      end
      if #page == 0 then
        local room = math.floor((MOST_BYTES - bytes) / largest)
        local most = math.max(1, math.min(AT_ONCE, MOST - count, room))
        page = redis.call('LRANGE', list, -seen - most, -1 - seen)
        largest = 1
      end
      local payload = table.remove(page)
      count, bytes, seen, largest = count + 1, bytes + #payload, seen + 1, math.max(largest, #payload)
      local word = visit(payload, number, -seen)
      if word == 'enough' then
        return number - 1, seen, is_now
      elseif word == 'gone' then
        seen, is_now = seen - 1, is_now - 1
      end
    end
    count, seen, length = count + 1, 0, 0
  end
  return #lists, 0, 0
end

-- The arguments from the given one on.
local function rest(first)
  local values = {}
  for index = first, #ARGV do
    values[#values + 1] = ARGV[index]
  end
  return values
end

-- Ends a start: the first end counts. `keep` is in seconds. Of what is older than that a few go with each end.
local function end_start(workflow_id, state, error_text, result, keep)
  local marker = K.start .. workflow_id
  if FINAL[redis.call('HGET', marker, 'state') or ''] then
    return
  end
  local at = now()
  redis.call('HSET', marker, 'state', state, 'error', error_text, 'result', result)
  redis.call('EXPIRE', marker, keep)
  redis.call('ZADD', K.ended, at, workflow_id)
  local old = redis.call('ZRANGEBYSCORE', K.ended, '-inf', at - keep, 'LIMIT', 0, 10)
  if #old > 0 then
    redis.call('ZREM', K.ended, unpack(old))
  end
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
    wake(group)
  end
end
