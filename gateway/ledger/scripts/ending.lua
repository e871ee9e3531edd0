-- Part: the end of a hold. `keys` names acct, open, due, follow, outbox, and `periods`, the beginning of a period's key.

-- The hold as a table, or nil.
local function read_hold(key)
  local found = call('HMGET', key, 'account', 'state', 'amount', 'period', 'admitted', 'facts', 'job', 'captured',
    'ending', 'clock')
  if not found[2] then return nil end
  return {key = key, account = found[1], state = found[2], amount = found[3], period = found[4], admitted = found[5],
    facts = found[6], job = found[7], captured = found[8], ending = found[9], clock = found[10]}
end

-- Ends a hold in one go: credits, indexes, what is left of the hold, the event. Nothing in here can refuse.
-- `hold.state` is the state before, nil for a hold that Redis had lost. Returns what its period has left.
-- A call ends by the clock of its account that it was admitted by: as long after that as it took.
local function end_hold(keys, id, hold, state, ending, captured, settlement, now_ms)
  local was_open = hold.state == 'open'
  local at = hold.clock and now_ms + hold.clock or now_ms
  local held, period = was_open and hold.amount or 0, keys.periods .. hold.period
  local available = 0
  local p = call('HMGET', period, 'granted', 'over', 'captured', 'held', 'more')
  -- A closed period that was booked and dropped has no counters any more; the event alone tells the books.
  if p[1] then
    call('HSET', period, 'held', p[4] - held, 'captured', p[3] + captured)
    local over = p[2]
    if p[5] then
      local limits = limits_of(period)
      limits.spend(limits.budgets(hold.facts), -tonumber(held), captured)
      over = limits.overage_at(over, at)
    end
    available = p[1] + over - p[3] - p[4] + held - captured
  end
  if was_open then
    call('ZREM', keys.open, id)
    call('ZREM', keys.due, id)
  else
    -- Booking an expiry has put an end to the hold's life in Redis; its late capture must be booked before that.
    call('PERSIST', hold.key)
  end
  if hold.job then call('ZREM', keys.follow, id) end
  if hold.state then
    call('HSET', hold.key, 'state', state, 'captured', captured, 'ending', ending)
  else
    call('HSET', hold.key, 'state', state, 'captured', captured, 'ending', ending, 'account', hold.account,
      'amount', hold.amount, 'period', hold.period)
    if hold.clock then call('HSET', hold.key, 'clock', hold.clock) end
  end
  local seq = call('HINCRBY', keys.acct, 'seq', 1)
  -- A recovery may be of a capture that the books have after all: under the same id they take one of the two.
  local name = ending == 'recovered' and 'captured' or ending
  call('XADD', keys.outbox, '*', 'kind', 'usage', 'id', id .. '.' .. name, 'account', hold.account, 'ending', ending,
    'facts', hold.facts, 'settlement', settlement, 'held', hold.amount, 'captured', captured, 'period', hold.period,
    'admitted', hold.admitted, 'at', at, 'seq', seq, 'job', hold.job or '')
  return available
end

-- The answer to a settlement of a hold that was settled before: what it came to then.
local function as_before(keys, hold)
  local period = keys.periods .. hold.period
  local p = call('HMGET', period, 'granted', 'over', 'captured', 'held', 'more')
  local over = p[5] and limits_of(period).overage_at(p[2], to_ms(now_us()) + (hold.clock or 0)) or p[2]
  local available = p[1] and p[1] + over - p[3] - p[4] or 0
  return {hold.state, tonumber(hold.captured), tonumber(hold.amount), available, hold.ending}
end
