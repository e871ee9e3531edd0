#!lua flags=no-writes
-- counters: all that Redis knows of an account at one instant.
--
-- KEYS  1 acct  2 open
-- ARGV  1 beginning of the account's period keys  2 key prefix of the shard
-- Reply {epoch, seq, terms version, {{start, end, granted, overage, captured, held}, ...},
--        {{hold id, amount, period, deadline, job id or ''}, ...}}; epoch and version are '' where never projected.

local acct = call('HMGET', KEYS[1], 'e', 'seq', 'terms', 'periods')
local periods, holds = {}, {}
for start in string.gmatch(acct[4] or '', '[^,]+') do
  local p = call('HMGET', ARGV[1] .. start, 'end', 'granted', 'over', 'captured', 'held')
  if p[1] then
    periods[#periods + 1] = {tonumber(start), tonumber(p[1]), tonumber(p[2]), tonumber(p[3]), tonumber(p[4]), tonumber(p[5])}
  end
end
for _, id in ipairs(call('ZRANGE', KEYS[2], 0, -1)) do
  local hold = call('HMGET', ARGV[2] .. 'hold:' .. id, 'state', 'amount', 'period', 'deadline', 'job')
  if hold[1] == 'open' then
    holds[#holds + 1] = {id, tonumber(hold[2]), tonumber(hold[3]), tonumber(hold[4]), hold[5] or ''}
  end
end
return {acct[1] or '', tonumber(acct[2] or 0), acct[3] or '', periods, holds}
