#!lua flags=allow-oom
-- recover: takes the cost of a call whose hold Redis has lost, once. The caller has asked the books before.
--
-- KEYS  1 hold  2 acct  3 open  4 due  5 follow  6 outbox
-- ARGV  1 hold id  2 beginning of the account's period keys  3 cost  4 period start ms  5 facts  6 settlement  7 account
-- Reply {'recovered', captured, held, available, ending}, or {'known'}: the hold is there, capture it instead.

-- read
local keys = {acct = KEYS[2], open = KEYS[3], due = KEYS[4], follow = KEYS[5], outbox = KEYS[6], periods = ARGV[2]}
-- check
if call('HEXISTS', KEYS[1], 'state') == 1 then return {'known'} end
-- write
local now_ms, clock = to_ms(now_us()), call('HGET', keys.acct, 'clock')
local lost = {key = KEYS[1], account = ARGV[7], amount = 0, period = ARGV[4], facts = ARGV[5],
  admitted = now_ms + (clock or 0), clock = clock}
local available = end_hold(keys, ARGV[1], lost, 'captured', 'recovered', ARGV[3], ARGV[6], now_ms)
return {'recovered', tonumber(ARGV[3]), 0, available, 'recovered'}
