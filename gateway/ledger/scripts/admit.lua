#!lua
-- admit: may this call start? Limits, concurrency and credits in one step.
--
-- KEYS  1 acct  2 open  3 due, then P periods, then L windows, then the hold, then the job's key where one is asked for
-- ARGV  1 hold id  2 nonce  3 quote  4 least  5 ttl ms  6 facts ('' for a free call: no hold)
--       7 account  8 epoch  9 booked seq  10 terms version  11 most open holds (-1: any number)
--       12 P  13 L  14 1 if a job is asked for, then P x (start ms, end ms), then L x (calls, width us, calls per entry)
-- Reply {'admitted', now ms, held, available, period start, [job's hold id, state, facts, kind,] L x (remaining, opens us)}
--       {a refusal code, now ms by the account's clock, number of the limit or 0, retry us or -1, required, available, period end,
--        L x (remaining, opens us)}; of a budget its project or key stands for the number, and its credits are told
--       {'unknown' | 'fenced' | 'behind' | 'stale_terms' | 'new_period' | 'uncounted', now ms,
--        Redis's terms version or -1}
--       {'overdue'}: would be refused, but holds of the account are past their deadline: expire them and ask again
--       {'ended'}: this hold has been settled already. {'other_nonce'}: the hold id is another attempt's
-- All but 'admitted' leave every key as it was. The same hold id and nonce get the same hold again, counted once.

-- read
local now = now_us()
local now_ms = to_ms(now)
local id, nonce, facts, account = ARGV[1], ARGV[2], ARGV[6], ARGV[7]
local quote, least = tonumber(ARGV[3]), tonumber(ARGV[4])
local period_count, limit_count, job_asked = tonumber(ARGV[12]), tonumber(ARGV[13]), ARGV[14] == '1'
local open, due = KEYS[2], KEYS[3]
local hold_key, job_key = KEYS[4 + period_count + limit_count], KEYS[5 + period_count + limit_count]
local free = facts == ''

local state = not free and call('HGET', hold_key, 'state')
local before = state and call('HMGET', hold_key, 'nonce', 'amount', 'period')
local repeated = state == 'open' and before[1] == nonce
if state and not repeated then
  return {state == 'open' and 'other_nonce' or 'ended'}
end

local acct = call('HMGET', KEYS[1], 'e', 'seq', 'terms', 'status', 'clock')
if not acct[1] then return {'unknown', now_ms, -1} end
local epoch, terms_version = tonumber(acct[1]), tonumber(acct[3])
-- By the account's own clock: what chooses its period, and stamps the call.
local own_ms = acct[5] and now_ms + acct[5] or now_ms
if not repeated then
  if epoch < tonumber(ARGV[8]) then return {'fenced', now_ms, terms_version} end
  if epoch > tonumber(ARGV[8]) or acct[3] ~= ARGV[10] then return {'stale_terms', now_ms, terms_version} end
  if tonumber(acct[2]) < tonumber(ARGV[9]) then return {'behind', now_ms, terms_version} end
end

local period_key, period_start
for index = 0, period_count - 1 do
  local start = ARGV[15 + 2 * index]
  if repeated and start == before[3]
    or not repeated and tonumber(start) <= own_ms and own_ms < tonumber(ARGV[16 + 2 * index]) then
    period_key, period_start = KEYS[4 + index], start
  end
end
local period = period_key and call('HMGET', period_key, 'granted', 'over', 'captured', 'held', 'end', 'more') or {}
if not period[1] then return {'new_period', now_ms, terms_version} end
local granted, over = tonumber(period[1]), tonumber(period[2])
local captured, held = tonumber(period[3]), tonumber(period[4])
local limits, budgets = period[6] and limits_of(period_key), nil
if limits then
  over, budgets = limits.overage_at(over, own_ms), not free and not repeated and limits.budgets(facts) or {}
  for _, budget in ipairs(budgets) do
    if not budget.counted then return {'uncounted', now_ms, terms_version} end
  end
end

local windows, first_limit = {}, 15 + 2 * period_count
for index = 1, limit_count do
  local at = first_limit + 3 * (index - 1)
  windows[index] = look_at_window(KEYS[3 + period_count + index],
    tonumber(ARGV[at]), tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2]), now)
end

local job
if job_asked then
  -- account, hold id, kind, one a line
  local found_account, found_hold, kind = string.match(call('GET', job_key) or '', '^([^\n]*)\n([^\n]*)\n(.*)$')
  if found_account == account then
    local hold = call('HMGET', string.sub(due, 1, -4) .. 'hold:' .. found_hold, 'state', 'facts')
    job = {found_hold, hold[1] or '', hold[2] or '', kind}
  end
end

-- check
local function add_windows(reply)
  for _, window in ipairs(windows) do
    reply[#reply + 1] = math.max(0, window.calls - window.counted)
    reply[#reply + 1] = window.opens_us
  end
  return reply
end

local function admitted(amount, available, start)
  local reply = {'admitted', now_ms, amount, available, tonumber(start)}
  for _, value in ipairs(job or {}) do reply[#reply + 1] = value end
  return add_windows(reply)
end

local payment_failed = acct[4] == 'payment_failed'
local allowed = granted + (payment_failed and 0 or over)
local available = allowed - captured - held
-- The most that a new hold may take.
local room = available
if budgets then
  for _, budget in ipairs(budgets) do room = math.min(room, budget.limit - budget.captured - budget.held) end
end

local function refused(code, limit, retry_us, left)
  return add_windows({code, own_ms, limit, retry_us, least, left or available, tonumber(period[5])})
end

local function refused_unless_overdue(code, retry_us, budget)
  if #call('ZRANGEBYSCORE', open, '-inf', now_ms, 'LIMIT', 0, 1) > 0 then return {'overdue'} end
  if not budget then return refused(code, 0, retry_us) end
  return refused(code, budget.id, retry_us, budget.limit - budget.captured - budget.held)
end

if repeated then return admitted(tonumber(before[2]), available, before[3]) end
if not free and acct[4] == 'closed' then return refused('account_closed', 0, -1) end

local fullest = 0
for index, window in ipairs(windows) do
  if window.full and (fullest == 0 or window.opens_us > windows[fullest].opens_us) then fullest = index end
end
if fullest > 0 then return refused('rate_limited', fullest, windows[fullest].opens_us) end
if job_asked and not job then return refused('no_such_job', 0, -1) end

local amount = 0
if not free then
  local most_open = tonumber(ARGV[11])
  if most_open >= 0 and call('ZCARD', open) >= most_open then
    return refused_unless_overdue('too_many_concurrent_calls', 1000000)
  end
  if quote == 0 or quote <= room then
    amount = quote
  elseif least <= room then
    amount = room
  elseif least > allowed - captured then
    if payment_failed and least <= granted + over - captured then
      return refused_unless_overdue('payment_required', -1)
    end
    return refused_unless_overdue(over > 0 and 'spend_limit_reached' or 'credits_exhausted', -1)
  else
    -- Credits that are used up come before those that are only held, the account before the project before the key.
    local holding
    for _, budget in ipairs(budgets or {}) do
      local left = budget.limit - budget.captured
      if least > left then return refused_unless_overdue('spend_limit_reached', -1, budget) end
      if not holding and least <= available and least > left - budget.held then holding = budget end
    end
    return refused_unless_overdue('credits_held', 5000000, holding)
  end
end

-- write
for _, window in ipairs(windows) do count_call(window) end
if not free then
  local deadline = now_ms + ARGV[5]
  if amount ~= 0 then call('HINCRBY', period_key, 'held', amount) end
  if budgets then limits.spend(budgets, amount, 0) end
  call('HSET', hold_key, 'account', account, 'state', 'open', 'amount', amount, 'period', period_start,
    'nonce', nonce, 'facts', facts, 'admitted', own_ms)
  if acct[5] then call('HSET', hold_key, 'clock', acct[5]) end
  call('ZADD', open, deadline, id)
  call('ZADD', due, deadline, id)
end
return admitted(amount, available - amount, period_start)
