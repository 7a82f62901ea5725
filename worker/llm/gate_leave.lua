-- Takes a request's end into account.
-- KEYS: circuit, tokens, slots. ARGV: now (0: the server's clock), id, second it went, tokens more than expected,
-- end (answered, failed, unknown), failures that open, first and longest time open, how long failures count; milliseconds.
local now = tonumber(ARGV[1])
if now == 0 then
  local time = redis.call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end
local ending, opens_at = ARGV[5], tonumber(ARGV[6])
local first_ms, longest_ms, counts_ms = tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9])

redis.call('ZREM', KEYS[3], ARGV[2])
if tonumber(ARGV[4]) ~= 0 and redis.call('EXISTS', KEYS[2]) == 1 then
  redis.call('HINCRBY', KEYS[2], ARGV[3], ARGV[4])
end
if ending == 'answered' then
  redis.call('DEL', KEYS[1])
elseif ending == 'unknown' then
  redis.call('HDEL', KEYS[1], 'probe_until')
else
  local circuit = redis.call('HMGET', KEYS[1], 'failures', 'failed_at', 'opened')
  local failures, opened = tonumber(circuit[1] or '0') + 1, tonumber(circuit[3] or '0')
  if opened == 0 and now - tonumber(circuit[2] or '0') >= counts_ms then
    failures = 1
  end
  redis.call('HSET', KEYS[1], 'failures', failures, 'failed_at', now)
  if failures >= opens_at or opened > 0 then
    local open_ms = math.min(first_ms * 2 ^ opened, longest_ms)
    redis.call('HSET', KEYS[1], 'open_until', now + open_ms, 'opened', math.min(opened + 1, 9), 'probe_until', 0)
    redis.call('PEXPIRE', KEYS[1], open_ms + longest_ms + counts_ms)
  else
    redis.call('PEXPIRE', KEYS[1], counts_ms)
  end
end
