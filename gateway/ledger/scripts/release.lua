#!lua flags=allow-oom
-- release: gives a hold back and tells the outbox with an event of no credits.
--
-- KEYS  1 hold  2 acct  3 open  4 due  5 follow  6 outbox
-- ARGV  1 hold id  2 beginning of the account's period keys  3 settlement  4 account  5 life of a tombstone in ms
-- Reply {state before, captured, held, available, ending}, or {'unknown'}.
-- Of an unknown hold it leaves a tombstone, which refuses an admission that timed out and is still on its way.

-- read
local keys = {acct = KEYS[2], open = KEYS[3], due = KEYS[4], follow = KEYS[5], outbox = KEYS[6], periods = ARGV[2]}
local hold = read_hold(KEYS[1])
-- check
if hold and hold.state ~= 'open' then
  if hold.ending == '' then return {'unknown'} end
  -- The job of an expired hold is followed; that it costs nothing ends that.
  if hold.job then call('ZREM', keys.follow, ARGV[1]) end
  return as_before(keys, hold)
end
-- write
if not hold then
  call('HSET', KEYS[1], 'account', ARGV[4], 'state', 'released', 'amount', 0, 'period', 0, 'captured', 0, 'ending', '')
  call('PEXPIRE', KEYS[1], ARGV[5])
  return {'unknown'}
end
local available = end_hold(keys, ARGV[1], hold, 'released', 'released', 0, ARGV[3], to_ms(now_us()))
return {'open', 0, tonumber(hold.amount), available, 'released'}
