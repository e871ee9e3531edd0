#!lua flags=allow-oom
-- capture: takes the true cost of a hold, in the hold's own period, and tells the outbox.
--
-- KEYS  1 hold  2 acct  3 open  4 due  5 follow  6 outbox
-- ARGV  1 beginning of the account's period keys  2 hold id  3 cost ('' for the amount held)
--       4 1 if at most the amount held may be taken  5 settlement
-- Reply {state before, captured, held, available, ending}, or {'unknown'}.
-- A released hold gives nothing, a captured one what it gave before. An expired one is captured late: its credits are
-- taken again, under an event id of its own.

-- read
local keys = {acct = KEYS[2], open = KEYS[3], due = KEYS[4], follow = KEYS[5], outbox = KEYS[6], periods = ARGV[1]}
local hold = read_hold(KEYS[1])
-- check
if not hold then return {'unknown'} end
if hold.state == 'captured' or hold.state == 'released' then return as_before(keys, hold) end
local amount = tonumber(hold.amount)
local cost = ARGV[3] == '' and amount or tonumber(ARGV[3])
if ARGV[4] == '1' then cost = math.min(cost, amount) end
local ending = hold.state == 'expired' and 'late' or 'captured'
-- write
local available = end_hold(keys, ARGV[2], hold, 'captured', ending, cost, ARGV[5], to_ms(now_us()))
return {hold.state, cost, amount, available, ending}
