-- Decides, in one step for the whole fleet, whether a request may go now, and counts it if so.
-- KEYS: cooldown, circuit, requests, tokens, slots. Times are milliseconds, windows are 60 whole seconds and the one that runs.
-- ARGV: now (0: the server's clock), limits of requests, tokens, slots (-1: none), tokens, id, slot, probe, look again.
-- Returns {'', second, failures} for a request that may go, else {what holds it, milliseconds}.
local now = tonumber(ARGV[1])
if now == 0 then
  local time = redis.call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end
local second = math.floor(now / 1000)
local id, slot_ms, probe_ms, look_ms = ARGV[6], tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9])

local cooldown = tonumber(redis.call('GET', KEYS[1]) or '0')
if cooldown > now then
  return {'cooldown', cooldown - now}
end

local circuit = redis.call('HMGET', KEYS[2], 'failures', 'opened', 'open_until', 'probe_until')
local failures, opened = tonumber(circuit[1] or '0'), tonumber(circuit[2] or '0')
local open_until, probe_until = tonumber(circuit[3] or '0'), tonumber(circuit[4] or '0')
if open_until > now then
  return {'circuit', open_until - now}
end
if opened > 0 and probe_until > now then
  return {'circuit', math.min(probe_until - now, look_ms)}
end

-- How long until a window has room; what is larger than the limit passes an empty window.
local function wait_ms(key, limit, cost)
  if limit < 0 then
    return 0
  end
  local all, kept, used = redis.call('HGETALL', key), {}, 0
  for i = 1, #all, 2 do
    local at = tonumber(all[i])
    if at <= second - 61 then
      redis.call('HDEL', key, all[i])
    else
      used = used + tonumber(all[i + 1])
      kept[#kept + 1] = {at, tonumber(all[i + 1])}
    end
  end
  if used <= 0 or used + cost <= limit then
    return 0
  end
  table.sort(kept, function(a, b) return a[1] < b[1] end)
  local excess, at = used + cost - limit, second
  for _, one in ipairs(kept) do
    at, excess = one[1], excess - one[2]
    if excess <= 0 then
      break
    end
  end
  return (at + 61) * 1000 - now
end

local max_requests, max_tokens, max_slots = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local cost = tonumber(ARGV[5])
local wait = wait_ms(KEYS[3], max_requests, 1)
if wait > 0 then
  return {'requests', wait}
end
wait = wait_ms(KEYS[4], max_tokens, cost)
if wait > 0 then
  return {'tokens', wait}
end
if max_slots >= 0 then
  redis.call('ZREMRANGEBYSCORE', KEYS[5], '-inf', now)
  if redis.call('ZCARD', KEYS[5]) >= max_slots then
    return {'concurrent', look_ms}
  end
  redis.call('ZADD', KEYS[5], now + slot_ms, id)
  redis.call('PEXPIRE', KEYS[5], slot_ms)
end

if max_requests >= 0 then
  redis.call('HINCRBY', KEYS[3], second, 1)
  redis.call('EXPIRE', KEYS[3], 62)
end
if max_tokens >= 0 then
  redis.call('HINCRBY', KEYS[4], second, cost)
  redis.call('EXPIRE', KEYS[4], 62)
end
if opened > 0 then
  redis.call('HSET', KEYS[2], 'probe_until', now + probe_ms)
end
return {'', second, failures}
