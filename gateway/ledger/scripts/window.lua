-- Part: exact sliding windows. A window is a list of times in microseconds, newest first, of the calls it admitted.
-- Above one call per entry (`group` > 1, very large limits) the first element is the number of calls in the newest
-- entry, every older entry stands for `group` calls, and an entry's time is that of its last call: memory stays bounded
-- and never too many are admitted, but a slot may open late by the time in which one entry filled.

-- What a window shows, without touching it. `counted` calls are inside, in `live` entries; `opens_us` is when a slot
-- opens (full) or the oldest counted call leaves (else; 0 if none); `stamp` is the time a call admitted now is given.
local function look_at_window(key, calls, width, group, now)
  local seen = {key = key, calls = calls, width = width, group = group, counted = 0, live = 0, opens_us = 0, stamp = now}
  local first = group > 1 and 1 or 0
  seen.entries = call('LLEN', key) - first
  seen.full, seen.opens_us = calls < 1, calls < 1 and width or 0
  if seen.entries < 1 then return seen end
  local function time_of(entry)
    return tonumber(call('LINDEX', key, first + entry))
  end
  local newest = time_of(0)
  -- A clock that went back by more than a window leaves times that mean nothing any more.
  if newest <= now - width or newest > now + width then return seen end
  seen.stamp, seen.newest = math.max(now, newest), newest
  -- From the oldest on, in growing steps and then by halves, to the oldest that is still inside.
  local live, dead, step, probe = 0, seen.entries, 1, seen.entries - 1
  local oldest = newest
  while probe > 0 do
    oldest = time_of(probe)
    if oldest > now - width then break end
    dead, probe, step, oldest = probe, probe - step, step * 2, newest
  end
  live = math.max(live, probe)
  while dead - live > 1 do
    local middle = live + math.floor((dead - live) * 0.5)
    local time = time_of(middle)
    if time > now - width then live, oldest = middle, time else dead = middle end
  end
  seen.live = dead
  seen.newest_calls = group > 1 and tonumber(call('LINDEX', key, 0)) or 1
  seen.counted = (dead - 1) * group + seen.newest_calls
  seen.full = seen.counted >= calls
  local leaving, left = dead - 1, seen.counted - group
  while seen.full and left >= calls and leaving > 0 do
    leaving, left = leaving - 1, left - group
  end
  if leaving < dead - 1 then oldest = time_of(leaving) end
  seen.opens_us = oldest + width - now
  return seen
end

-- Counts an admitted call and forgets what has left the window.
local function count_call(seen)
  if seen.live == 0 then
    if seen.entries ~= 0 then call('DEL', seen.key) end
    if seen.group > 1 then call('RPUSH', seen.key, 1, seen.stamp) else call('LPUSH', seen.key, seen.stamp) end
    seen.opens_us = seen.width
  else
    if seen.live < seen.entries then
      call('LTRIM', seen.key, 0, seen.live - (seen.group > 1 and 0 or 1))
    end
    if seen.group == 1 then
      call('LPUSH', seen.key, seen.stamp)
    elseif seen.newest_calls < seen.group then
      call('LSET', seen.key, 0, seen.newest_calls + 1)
      call('LSET', seen.key, 1, seen.stamp)
    else
      call('LSET', seen.key, 0, seen.stamp)
      call('LPUSH', seen.key, 1)
    end
  end
  seen.counted = seen.counted + 1
  -- Once in the length of a window, and so for twice that; a second more, since key expiry is coarser than this clock.
  local before = seen.newest
  if not before or before - before % seen.width ~= seen.stamp - seen.stamp % seen.width then
    call('PEXPIRE', seen.key, to_ms(2 * seen.width) + 1000)
  end
end
