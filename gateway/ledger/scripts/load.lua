#!lua flags=allow-oom
-- load: rebuilds an account's counters by absolute value, once, however many ask: where Redis has no such account, has it
-- under an epoch that was given up, or has lost captures that the books have seen.
--
-- KEYS  1 acct  2 open  3 due  4 follow
-- ARGV  1 beginning of the account's period keys  2 key prefix of the shard  3 epoch  4 terms version  5 status
--       6 booked seq  7 seq to go on from  8 seq the caller saw in Redis (-1: not looked)  9 P  10 B  11 C  12 S
--       13 how far the account's own clock is ahead in ms, '' for one that has none,
--       then P x (start ms, end ms, granted, overage, when it changes or '', overage then), B x (budget's id, limit),
--       C x (period start, captured), S x hold id settled in the books
-- Reply 1 if loaded. 0 if there was no need, or something was captured since the caller looked: it reads again.
-- Held is what the surviving open holds come to. Budgets are counted afterwards, by count_budgets.

-- read
local acct = call('HMGET', KEYS[1], 'e', 'seq', 'periods')
local seq = tonumber(acct[2] or 0)
-- check
local needed = not acct[1] or tonumber(acct[1]) < tonumber(ARGV[3]) or seq < tonumber(ARGV[6])
if not needed then return 0 end
if ARGV[8] ~= '-1' and seq ~= tonumber(ARGV[8]) then return 0 end
-- write
local period_count, budget_count = tonumber(ARGV[9]), tonumber(ARGV[10])
local captured_count, settled_count = tonumber(ARGV[11]), tonumber(ARGV[12])
local own_ms = to_ms(now_us()) + (tonumber(ARGV[13]) or 0)
local changed = set_periods(ARGV[1], acct[3] or '', 14, period_count, budget_count, true, own_ms)
local first_captured = 14 + 6 * period_count + 2 * budget_count
local first_settled = first_captured + 2 * captured_count
for index = first_settled, first_settled + settled_count - 1 do
  call('DEL', ARGV[2] .. 'hold:' .. ARGV[index])
end
local held = {}
for _, id in ipairs(call('ZRANGE', KEYS[2], 0, -1)) do
  local hold = call('HMGET', ARGV[2] .. 'hold:' .. id, 'state', 'amount', 'period')
  if hold[1] == 'open' then
    held[hold[3]] = (held[hold[3]] or 0) + hold[2]
  else
    call('ZREM', KEYS[2], id)
    call('ZREM', KEYS[3], id)
    call('ZREM', KEYS[4], id)
  end
end
local captured = {}
for index = first_captured, first_settled - 1, 2 do captured[ARGV[index]] = ARGV[index + 1] end
for start in string.gmatch(changed.starts, '[^,]+') do
  local key = ARGV[1] .. start
  call('HSET', key, 'captured', captured[start] or 0, 'held', held[start] or 0)
  for id in string.gmatch(call('HGET', key, 'budgets') or '', '%S+') do
    call('HDEL', key, 'captured:' .. id, 'held:' .. id, 'since:' .. id)
  end
end
call('HSET', KEYS[1], 'e', ARGV[3], 'terms', ARGV[4], 'status', ARGV[5], 'periods', changed.starts,
  'seq', math.max(seq, tonumber(ARGV[6]), tonumber(ARGV[7])))
if ARGV[13] ~= '' then call('HSET', KEYS[1], 'clock', ARGV[13]) end
return 1
