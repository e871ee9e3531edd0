#!lua flags=allow-oom
-- count_budgets: begins to count what budgets of an account have used, where nobody has: from now on every ending adds
-- to them, and what was captured before is for the caller to find out and to tell `budgets_counted`.
--
-- KEYS  1 acct  2 open
-- ARGV  1 beginning of the account's period keys  2 key prefix of the shard
-- Reply {{period start, budget's id, seq}, ...}: captures up to this seq are missing. Again before they are told: the
-- same. Held is what open holds of the project or key come to.

-- read
local acct = call('HMGET', KEYS[1], 'seq', 'periods')
local missing, held, counting = {}, {}, {}
for start in string.gmatch(acct[2] or '', '[^,]+') do
  local key = ARGV[1] .. start
  for id in string.gmatch(call('HGET', key, 'budgets') or '', '%S+') do
    local budget = call('HMGET', key, 'captured:' .. id, 'since:' .. id)
    if not budget[1] then
      held[start] = held[start] or {}
      held[start][id] = 0
      counting[#counting + 1] = {key = key, start = start, id = id}
    end
    if not budget[1] or budget[2] then
      missing[#missing + 1] = {tonumber(start), id, tonumber(budget[2] or acct[1] or 0)}
    end
  end
end
for _, id in ipairs(#counting > 0 and call('ZRANGE', KEYS[2], 0, -1) or {}) do
  local hold = call('HMGET', ARGV[2] .. 'hold:' .. id, 'state', 'amount', 'period', 'facts')
  if hold[1] == 'open' and held[hold[3]] then
    local told = cjson.decode(hold[4])
    for _, spender in ipairs({told.project_id, told.key_id}) do
      if held[hold[3]][spender] then held[hold[3]][spender] = held[hold[3]][spender] + hold[2] end
    end
  end
end
-- write
for _, each in ipairs(counting) do
  call('HSET', each.key, 'captured:' .. each.id, 0, 'held:' .. each.id, held[each.start][each.id],
    'since:' .. each.id, acct[1] or 0)
end
return missing
