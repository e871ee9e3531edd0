#!lua flags=allow-oom
-- drop_period: forgets a period that is over, holds nothing, and has every capture of it in the books.
--
-- KEYS  1 acct  2 period
-- ARGV  1 period start ms  2 captured, as the books have it
-- Reply 1 if it is gone, 0 if it must stay.

local acct = call('HMGET', KEYS[1], 'periods', 'clock')
local p = call('HMGET', KEYS[2], 'end', 'captured', 'held')
if not p[1] then return 1 end
if tonumber(p[1]) > to_ms(now_us()) + (acct[2] or 0) or tonumber(p[3]) ~= 0 or p[2] ~= ARGV[2] then return 0 end
local kept = {}
for start in string.gmatch(acct[1] or '', '[^,]+') do
  if start ~= ARGV[1] then kept[#kept + 1] = start end
end
call('DEL', KEYS[2])
call('HSET', KEYS[1], 'periods', table.concat(kept, ','))
return 1
