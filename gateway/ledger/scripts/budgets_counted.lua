#!lua flags=allow-oom
-- budgets_counted: what budgets had captured before `count_budgets` began to count. Told twice it is added once.
--
-- KEYS  1 acct
-- ARGV  1 beginning of the account's period keys, then any number of (period start, budget's id, seq, captured)
-- Reply the number of budgets that are counted now and were not before.

local counted = 0
for index = 2, #ARGV, 4 do
  local key, id = ARGV[1] .. ARGV[index], ARGV[index + 1]
  if call('HGET', key, 'since:' .. id) == ARGV[index + 2] then
    call('HINCRBY', key, 'captured:' .. id, ARGV[index + 3])
    call('HDEL', key, 'since:' .. id)
    counted = counted + 1
  end
end
return counted
