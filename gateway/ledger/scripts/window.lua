-- Part: exact sliding windows. A window is a list of times in microseconds, newest first, of the calls it admitted.
-- Above one call per entry (`group` > 1, very large limits) the newest entry is its time and its number of calls with a
-- blank between, every older entry stands for `group` calls, and an entry's time is that of its last call: memory stays
-- bounded and never too many are admitted, but a slot may open late by the time in which one entry filled.

-- What a window shows, without touching it. `counted` calls are inside, in `live` entries; `opens_us` is when a slot
-- opens (full) or the oldest counted call leaves (else; 0 if none); `stamp` is the time a call admitted now is given.
local function look_at_window(key, calls, width, group, now)
  local entries, cut = call('LLEN', key), now - width
  local seen = {key = key, calls = calls, width = width, group = group, counted = 0, entries = entries, live = 0,
    full = calls < 1, opens_us = calls < 1 and width or 0, stamp = now}
  if entries < 1 then return seen end
  local head, newest_calls = call('LINDEX', key, 0), 1
  if group > 1 then head, newest_calls = string.match(head, '^(%d+) (%d+)$') end
  local newest = tonumber(head)
  -- A clock that went back by more than a window leaves times that mean nothing any more.
  if newest <= cut or newest > now + width then return seen end
  if newest > now then seen.stamp = newest end
  -- From the oldest on, in growing steps and then by halves, to the oldest that is still inside.
  local live, dead, step, probe = 0, entries, 1, entries - 1
  local oldest = newest
  while probe > 0 do
    oldest = tonumber(call('LINDEX', key, probe))
    if oldest > cut then break end
    dead, probe, step, oldest = probe, probe - step, step * 2, newest
  end
  live = math.max(live, probe)
  while dead - live > 1 do
    local middle = live + math.floor((dead - live) * 0.5)
    local time = tonumber(call('LINDEX', key, middle))
    if time > cut then live, oldest = middle, time else dead = middle end
  end
  local counted = (dead - 1) * group + newest_calls
  seen.live, seen.newest, seen.newest_calls, seen.counted = dead, newest, tonumber(newest_calls), counted
  if counted >= calls then
    seen.full = true
    local leaving, left = dead - 1, counted - group
    while left >= calls and leaving > 0 do
      leaving, left = leaving - 1, left - group
    end
    if leaving < dead - 1 then oldest = leaving > 0 and tonumber(call('LINDEX', key, leaving)) or newest end
  end
  seen.opens_us = oldest - cut
  return seen
end

-- Counts an admitted call and forgets what has left the window.
local function count_call(seen)
  local key, stamp, group, newest_calls = seen.key, seen.stamp, seen.group, 1
  if seen.live == 0 then
    if seen.entries > 0 then call('DEL', key) end
    seen.opens_us = seen.width
  else
    if seen.live < seen.entries then call('LTRIM', key, 0, seen.live - 1) end
    newest_calls = seen.newest_calls + 1
  end
  if group == 1 then
    call('LPUSH', key, stamp)
  elseif newest_calls > 1 and newest_calls <= group then
    call('LSET', key, 0, string.format('%.0f %d', stamp, newest_calls))
  else
    if newest_calls > group then call('LSET', key, 0, seen.newest) end
    call('LPUSH', key, string.format('%.0f 1', stamp))
  end
  seen.counted = seen.counted + 1
  -- Once in the length of a window, and so for twice that; a second more, since key expiry is coarser than this clock.
  local before = seen.newest
  if not before or before - before % seen.width ~= stamp - stamp % seen.width then
    call('PEXPIRE', key, to_ms(2 * seen.width) + 1000)
  end
end
