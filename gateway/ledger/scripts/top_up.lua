#!lua
-- top_up: an open hold grows while what it pays for is under way: by all of the least or by nothing, and beyond that by
-- as much as there is of what is wanted.
--
-- KEYS  1 hold  2 acct  3 period of the hold
-- ARGV  1 least amount that the hold must have  2 amount wanted
-- Reply {'topped', amount, available}
--       {a refusal code, project or key whose budget it was or '', required more, available, period end}: no change
--       {'unknown'}: Redis has lost the hold or its period. {'ended'}: the hold has been settled.
-- Amounts are absolute, so a repeat changes nothing. A budget that came up since the call was admitted and is not counted
-- yet stops nothing.

-- read
local now_ms = to_ms(now_us())
local hold = call('HMGET', KEYS[1], 'state', 'amount', 'facts')
local acct = call('HMGET', KEYS[2], 'status', 'clock')
local status, own_ms = acct[1], now_ms + (acct[2] or 0)
local p = call('HMGET', KEYS[3], 'granted', 'over', 'captured', 'held', 'end', 'more')
local least, wanted = tonumber(ARGV[1]), tonumber(ARGV[2])

-- check
if not hold[1] or not p[1] then return {'unknown'} end
if hold[1] ~= 'open' then return {'ended'} end
local limits = p[6] and limits_of(KEYS[3])
local amount, over = tonumber(hold[2]), limits and limits.overage_at(p[2], own_ms) or tonumber(p[2])
local payment_failed = status == 'payment_failed'
local left = p[1] + (payment_failed and 0 or over) - p[3]
local available = left - p[4]
if least <= amount then return {'topped', amount, available} end

local budgets, room = limits and limits.budgets(hold[3]) or {}, available
for _, budget in ipairs(budgets) do
  budget.left = budget.limit - budget.captured - budget.held
  if budget.counted then room = math.min(room, budget.left) end
end

local function refused(code, budget)
  return {code, budget and budget.id or '', least - amount, budget and budget.left or available, tonumber(p[5])}
end

-- In the order of an admission: credits that are used up, of the account and then of a budget, before those only held.
local function refused_credits()
  if least > left then
    if payment_failed and least <= left + over then return refused('payment_required') end
    return refused(over > 0 and 'spend_limit_reached' or 'credits_exhausted')
  end
  for _, budget in ipairs(budgets) do
    if budget.counted and least > budget.limit - budget.captured then return refused('spend_limit_reached', budget) end
  end
  for _, budget in ipairs(least - amount <= available and budgets or {}) do
    if budget.counted and least - amount > budget.left then return refused('credits_held', budget) end
  end
  return refused('credits_held')
end

if status == 'closed' then return refused('account_closed') end
local more = math.min(wanted - amount, room)
if amount + more < least then return refused_credits() end

-- write
call('HINCRBY', KEYS[1], 'amount', more)
call('HINCRBY', KEYS[3], 'held', more)
if limits then limits.spend(budgets, more, 0) end
return {'topped', amount + more, available - more}
