#!lua flags=allow-oom
-- attach_job: the hold becomes the job's: it lives until the job's limit, the job is followed, and the books are told.
--
-- KEYS  1 hold  2 acct  3 open  4 due  5 follow  6 job  7 outbox
-- ARGV  1 hold id  2 upstream  3 kind  4 job id  5 limit ms  6 first look in ms  7 life of the job's key ms
-- Reply 'attached', or 'unknown' | 'ended' | 'other_job' with nothing changed.
-- A hold that expired in the meantime stays expired; its job is followed all the same and captured late.

-- read
local hold = call('HMGET', KEYS[1], 'state', 'account', 'facts', 'job', 'upstream', 'amount', 'period', 'admitted')
-- check
if not hold[1] then return 'unknown' end
if hold[4] then
  return hold[4] == ARGV[4] and hold[5] == ARGV[2] and 'attached' or 'other_job'
end
if hold[1] == 'captured' or hold[1] == 'released' then return 'ended' end
-- write
local now_ms = to_ms(now_us())
local deadline = now_ms + ARGV[5]
call('HSET', KEYS[1], 'job', ARGV[4], 'kind', ARGV[3], 'upstream', ARGV[2], 'attached', now_ms, 'looks', 0,
  'deadline', deadline)
call('PERSIST', KEYS[1])
call('ZADD', KEYS[3], 'XX', deadline, ARGV[1])
call('ZADD', KEYS[4], 'XX', deadline, ARGV[1])
call('ZADD', KEYS[5], now_ms + ARGV[6], ARGV[1])
call('SET', KEYS[6], hold[2] .. '\n' .. ARGV[1] .. '\n' .. ARGV[3], 'PX', ARGV[7])
local seq = call('HINCRBY', KEYS[2], 'seq', 1)
call('XADD', KEYS[7], '*', 'kind', 'job', 'id', ARGV[1] .. '.job', 'account', hold[2], 'facts', hold[3],
  'job_kind', ARGV[3], 'upstream', ARGV[2], 'job', ARGV[4], 'held', hold[6], 'period', hold[7], 'admitted', hold[8],
  'deadline', deadline, 'at', now_ms, 'seq', seq)
return 'attached'
