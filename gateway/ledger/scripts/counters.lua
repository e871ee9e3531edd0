#!lua flags=no-writes
-- counters: all that Redis knows of an account at one instant.
--
-- KEYS  1 acct  2 open
-- ARGV  1 beginning of the account's period keys  2 key prefix of the shard
-- Reply {epoch, seq, terms version, {{start, end, granted, overage, captured, held}, ...},
--        {{hold id, amount, period, deadline, job id or ''}, ...},
--        {{period, budget's id, limit, captured, held, what open holds come to}, ...}};
--        epoch and version are '' where never projected. Budgets that are not counted yet are left out.

local acct = call('HMGET', KEYS[1], 'e', 'seq', 'terms', 'periods', 'clock')
local periods, holds, budgets, held = {}, {}, {}, {}
local own_ms = to_ms(now_us()) + (acct[5] or 0)
for start in string.gmatch(acct[4] or '', '[^,]+') do
  local key = ARGV[1] .. start
  local p = call('HMGET', key, 'end', 'granted', 'over', 'captured', 'held', 'more', 'budgets')
  if p[1] then
    local over = p[6] and limits_of(key).overage_at(p[3], own_ms) or tonumber(p[3])
    periods[#periods + 1] = {tonumber(start), tonumber(p[1]), tonumber(p[2]), over, tonumber(p[4]), tonumber(p[5])}
  end
  for id in string.gmatch(p[7] or '', '%S+') do
    local b = call('HMGET', key, 'limit:' .. id, 'captured:' .. id, 'held:' .. id, 'since:' .. id)
    if b[2] and not b[4] then
      held[start] = held[start] or {}
      held[start][id] = {tonumber(start), id, tonumber(b[1]), tonumber(b[2]), tonumber(b[3] or 0), 0}
      budgets[#budgets + 1] = held[start][id]
    end
  end
end
local open = call('ZRANGE', KEYS[2], 0, -1, 'WITHSCORES')
for index = 1, #open, 2 do
  local id, deadline = open[index], tonumber(open[index + 1])
  local hold = call('HMGET', ARGV[2] .. 'hold:' .. id, 'state', 'amount', 'period', 'job')
  if hold[1] == 'open' then
    holds[#holds + 1] = {id, tonumber(hold[2]), tonumber(hold[3]), deadline, hold[4] or ''}
    if held[hold[3]] then
      local told = cjson.decode(call('HGET', ARGV[2] .. 'hold:' .. id, 'facts'))
      for _, spender in ipairs({told.project_id, told.key_id}) do
        local budget = held[hold[3]][spender]
        if budget then budget[6] = budget[6] + hold[2] end
      end
    end
  end
end
return {acct[1] or '', tonumber(acct[2] or 0), acct[3] or '', periods, holds, budgets}
