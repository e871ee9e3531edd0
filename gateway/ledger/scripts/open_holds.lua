#!lua flags=no-writes
-- open_holds: how many calls and jobs of one shard hold credits; of so many of them, how much and since when.
--
-- KEYS  1 due
-- ARGV  1 key prefix of the shard  2 most holds to look at
-- Reply {open holds, how many of them were looked at, what those hold, when the oldest was admitted in ms or -1}

local ids = call('ZRANGE', KEYS[1], 0, ARGV[2] - 1)
local looked, held, oldest = 0, 0, -1
for _, id in ipairs(ids) do
  local hold = call('HMGET', ARGV[1] .. 'hold:' .. id, 'amount', 'admitted')
  if hold[1] then
    local admitted = tonumber(hold[2])
    looked, held = looked + 1, held + tonumber(hold[1])
    if admitted and (oldest < 0 or admitted < oldest) then oldest = admitted end
  end
end
return {call('ZCARD', KEYS[1]), looked, held, oldest}
