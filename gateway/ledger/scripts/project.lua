#!lua flags=allow-oom
-- project: sets what the books say of an account, if it is newer than what Redis has. Never what was captured or is held.
--
-- KEYS  1 acct
-- ARGV  1 beginning of the account's period keys  2 epoch  3 terms version  4 status  5 P  6 B
--       7 how far the account's own clock is ahead in ms, '' for one that has none,
--       then P x (start ms, end ms, granted, overage, when it changes or '', overage then), B x (budget's id, limit)
-- Reply 1 if anything was set. 0 for an absent account, another epoch, or nothing new.
-- Terms of the same version may add periods that Redis lacks: their grants are booked as they come near.

-- read
local acct = call('HMGET', KEYS[1], 'e', 'terms', 'periods')
-- check
if not acct[1] or acct[1] ~= ARGV[2] then return 0 end
local version = tonumber(ARGV[3])
if version < tonumber(acct[2]) then return 0 end
-- write
local newer, own_ms = version > tonumber(acct[2]), to_ms(now_us()) + (tonumber(ARGV[7]) or 0)
local changed = set_periods(ARGV[1], acct[3] or '', 8, tonumber(ARGV[5]), tonumber(ARGV[6]), newer, own_ms)
if changed.starts ~= acct[3] then call('HSET', KEYS[1], 'periods', changed.starts) end
if newer then call('HSET', KEYS[1], 'terms', ARGV[3], 'status', ARGV[4]) end
if newer and ARGV[7] ~= '' then call('HSET', KEYS[1], 'clock', ARGV[7]) end
return (newer or changed.added) and 1 or 0
