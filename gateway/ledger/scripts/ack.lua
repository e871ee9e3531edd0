#!lua flags=allow-oom
-- ack: the books have these records. Acknowledges them, gives settled holds the rest of their life, and trims the stream
-- up to what every group has acknowledged.
--
-- KEYS  1 outbox
-- ARGV  1 key prefix of the shard  2 group  3 life of a call's settled hold ms  4 of a job's or an expired one's ms,
--       then triples of stream id, hold id, ending ('' where the record is no ending)
-- Reply {records acknowledged, records trimmed}

-- read, write
local acknowledged = 0
for index = 5, #ARGV, 3 do
  acknowledged = acknowledged + call('XACK', KEYS[1], ARGV[2], ARGV[index])
  if ARGV[index + 2] ~= '' then
    local key = ARGV[1] .. 'hold:' .. ARGV[index + 1]
    local hold = call('HMGET', key, 'ending', 'job')
    -- A later ending of the same hold (a late capture) waits for its own booking.
    if hold[1] == ARGV[index + 2] then
      call('PEXPIRE', key, (hold[2] or hold[1] == 'expired') and ARGV[4] or ARGV[3])
    end
  end
end

-- A stream id is two numbers of up to 20 digits: compared as text of equal length, never as a Lua number.
local function padded(id)
  local time, number = string.match(id, '^(%d+)%-(%d+)$')
  return string.rep('0', 20 - #time) .. time .. string.rep('0', 20 - #number) .. number
end

local keep_from, keep_from_padded
local function keep(id)
  local text = padded(id)
  if not keep_from or text < keep_from_padded then keep_from, keep_from_padded = id, text end
end

for _, info in ipairs(call('EXISTS', KEYS[1]) == 1 and call('XINFO', 'GROUPS', KEYS[1]) or {}) do
  local group = {}
  for index = 1, #info, 2 do group[info[index]] = info[index + 1] end
  if group.pending > 0 then
    keep(call('XPENDING', KEYS[1], group.name)[2])
  else
    local time, number = string.match(group['last-delivered-id'], '^(%d+)%-(%d+)$')
    keep(time .. '-' .. string.format('%.0f', number + 1))
  end
end
local trimmed = keep_from and call('XTRIM', KEYS[1], 'MINID', '=', keep_from) or 0
return {acknowledged, trimmed}
