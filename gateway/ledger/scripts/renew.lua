#!lua flags=allow-oom
-- renew: moves the deadlines of calls that still run. Jobs keep theirs, and what is settled stays so.
--
-- KEYS  1 due
-- ARGV  1 key prefix of the shard  2 ttl ms, then pairs of account and hold id
-- Reply the number of holds renewed.

local deadline = to_ms(now_us()) + ARGV[2]
local renewed = 0
for index = 3, #ARGV, 2 do
  local id = ARGV[index + 1]
  local key = ARGV[1] .. 'hold:' .. id
  local hold = call('HMGET', key, 'state', 'job')
  if hold[1] == 'open' and not hold[2] then
    call('ZADD', ARGV[1] .. 'open:' .. ARGV[index], 'XX', deadline, id)
    call('ZADD', KEYS[1], 'XX', deadline, id)
    renewed = renewed + 1
  end
end
return renewed
