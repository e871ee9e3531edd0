#!lua flags=allow-oom
-- restore: makes a hold again that Redis has lost, of a call or of a job that still runs. The caller has asked the books
-- before whether it has ended.
--
-- KEYS  1 hold  2 open  3 due  4 follow  5 period  6 acct  7 job, where the hold is a job's
-- ARGV  1 hold id  2 account  3 amount  4 period start ms  5 facts  6 ttl ms of a call's hold, 0 for a job's,
--       then for a job's: 7 admitted ms  8 deadline ms  9 upstream  10 kind  11 job id  12 attached ms
--       13 life of the job's key after the deadline ms  14 how far the account's own clock is ahead in ms, or ''
-- Reply 1 if the hold is there now and open, 0 if it has ended or its job's time is over.
-- The books know the hold or will be told of its end, so this tells them nothing.

-- read
local now_ms = to_ms(now_us())
local is_job = ARGV[6] == '0'
local deadline = is_job and tonumber(ARGV[8]) or now_ms + ARGV[6]
local hold = call('HMGET', KEYS[1], 'state', 'job')
-- check
if hold[1] and hold[1] ~= 'open' or deadline <= now_ms then return 0 end
-- write
if not hold[1] then
  -- A job's account may not be there yet: its caller knows the clock.
  local clock = is_job and ARGV[14] or not is_job and call('HGET', KEYS[6], 'clock')
  if call('EXISTS', KEYS[5]) == 1 and tonumber(ARGV[3]) ~= 0 then
    call('HINCRBY', KEYS[5], 'held', ARGV[3])
    local limits = limits_of(KEYS[5])
    limits.spend(limits.budgets(ARGV[5]), ARGV[3], 0)
  end
  call('HSET', KEYS[1], 'account', ARGV[2], 'state', 'open', 'amount', ARGV[3], 'period', ARGV[4], 'nonce', '',
    'facts', ARGV[5], 'admitted', is_job and ARGV[7] or now_ms + (tonumber(clock) or 0))
  if clock and clock ~= '' then call('HSET', KEYS[1], 'clock', clock) end
  call('ZADD', KEYS[2], deadline, ARGV[1])
  call('ZADD', KEYS[3], deadline, ARGV[1])
end
if is_job and not hold[2] then
  call('HSET', KEYS[1], 'job', ARGV[11], 'kind', ARGV[10], 'upstream', ARGV[9], 'attached', ARGV[12], 'looks', 0,
    'deadline', deadline)
  call('ZADD', KEYS[2], deadline, ARGV[1])
  call('ZADD', KEYS[3], deadline, ARGV[1])
  call('ZADD', KEYS[4], now_ms, ARGV[1])
  call('SET', KEYS[7], ARGV[2] .. '\n' .. ARGV[1] .. '\n' .. ARGV[10], 'PX', deadline - now_ms + ARGV[13])
end
return 1
