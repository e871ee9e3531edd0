#!lua flags=allow-oom
-- lease_jobs: takes jobs whose turn it is, for a while: one look at a time, and a dead looker's jobs come back.
--
-- KEYS  1 follow
-- ARGV  1 key prefix of the shard  2 most jobs  3 lease ms
-- Reply {{hold id, account, facts, kind, job id, upstream, attached, deadline, looks, now ms,
--        ended or 0, stopped or 0, gone or 0}, ...}

-- read
local now_ms = to_ms(now_us())
local leases = {}
for _, id in ipairs(call('ZRANGEBYSCORE', KEYS[1], '-inf', now_ms, 'LIMIT', 0, ARGV[2])) do
  local key = ARGV[1] .. 'hold:' .. id
  local hold = call('HMGET', key, 'state', 'account', 'facts', 'kind', 'job', 'upstream', 'attached', 'deadline',
    'ended', 'stopped', 'gone')
  -- check: an expired hold's job is followed until the job's limit, a settled one's no more
  local followed = hold[1] == 'open' or hold[1] == 'expired' and tonumber(hold[8]) > now_ms
  -- write
  if followed then
    call('ZADD', KEYS[1], 'XX', now_ms + ARGV[3], id)
    local looks = call('HINCRBY', key, 'looks', 1)
    leases[#leases + 1] = {id, hold[2], hold[3], hold[4], hold[5], hold[6], tonumber(hold[7]), tonumber(hold[8]), looks,
      now_ms, tonumber(hold[9] or 0), tonumber(hold[10] or 0), tonumber(hold[11] or 0)}
  else
    call('ZREM', KEYS[1], id)
  end
end
return leases
