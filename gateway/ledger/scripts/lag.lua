#!lua flags=no-writes
-- lag: how far the books are behind one shard's outbox.
--
-- KEYS  1 outbox
-- ARGV  1 group
-- Reply {records not acknowledged, age of the oldest in ms}

if call('EXISTS', KEYS[1]) == 0 then return {0, 0} end
local group
for _, info in ipairs(call('XINFO', 'GROUPS', KEYS[1])) do
  local fields = {}
  for index = 1, #info, 2 do fields[info[index]] = info[index + 1] end
  if fields.name == ARGV[1] then group = fields end
end
local records, first = call('XLEN', KEYS[1]), '-'
if group then
  -- Redis cannot tell how many are undelivered after some trims; then all that are left count.
  if group.lag then records = group.pending + group.lag end
  first = group.pending > 0 and call('XPENDING', KEYS[1], ARGV[1])[2] or '(' .. group['last-delivered-id']
end
local oldest = call('XRANGE', KEYS[1], first, '+', 'COUNT', 1)[1]
if not oldest then return {0, 0} end
return {records, math.max(0, to_ms(now_us()) - string.match(oldest[1], '^%d+'))}
