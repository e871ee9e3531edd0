#!lua flags=allow-oom
-- expire: ends holds that nobody settled in time, oldest first, each with an event of no credits.
--
-- KEYS  1 what to read: the shard's due holds, or one account's open ones  2 due  3 follow  4 outbox
-- ARGV  1 key prefix of the shard  2 most holds to end  3 settlement
-- Reply the number of holds looked at; less than asked for: no more are due.

-- read
local prefix, now_ms = ARGV[1], to_ms(now_us())
local ids = call('ZRANGEBYSCORE', KEYS[1], '-inf', now_ms, 'LIMIT', 0, ARGV[2])
-- check, write
for _, id in ipairs(ids) do
  local hold = read_hold(prefix .. 'hold:' .. id)
  if hold and hold.state == 'open' then
    local account = hold.account
    local keys = {acct = prefix .. 'acct:' .. account, open = prefix .. 'open:' .. account, due = KEYS[2],
      follow = KEYS[3], outbox = KEYS[4], periods = prefix .. 'period:' .. account .. ':'}
    -- While a cluster moves the slot key by key, a key that has gone ahead must be missed before anything is written.
    call('EXISTS', keys.acct, keys.open, keys.periods .. hold.period)
    end_hold(keys, id, hold, 'expired', 'expired', 0, ARGV[3], now_ms)
  else
    -- An index that outlived its hold: Redis came back with a part of what it had.
    call('ZREM', KEYS[1], id)
    call('ZREM', KEYS[2], id)
  end
end
return #ids
