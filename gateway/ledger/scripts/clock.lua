-- Part: Redis's own clock. Lengths are passed to scripts, never instants. Tests load another file in its place.
local call = redis.call

local function now_us()
  local time = call('TIME')
  return time[1] * 1000000 + time[2]
end
