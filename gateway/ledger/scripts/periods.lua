-- Part: the periods of an account as the books tell them. From `first` on, ARGV holds `count` x (start, end, granted,
-- overage, when that changes by itself or '', the overage from then on), in order, then `budgets` x (id, limit).

-- The overage's change and the budgets of one period. What was counted stays, unless the budget is gone; in a `fresh`
-- period there is nothing to be counted.
local function set_limits(key, at, first_budget, budgets, fresh)
  local ids, named = {}, {}
  for index = 0, budgets - 1 do
    local id = ARGV[first_budget + 2 * index]
    ids[#ids + 1], named[id] = id, ARGV[first_budget + 2 * index + 1]
  end
  for id in string.gmatch(call('HGET', key, 'budgets') or '', '%S+') do
    if not named[id] then
      call('HDEL', key, 'limit:' .. id, 'captured:' .. id, 'held:' .. id, 'since:' .. id)
    end
  end
  call('HDEL', key, 'more', 'until', 'then', 'budgets')
  for id, limit in pairs(named) do
    call('HSET', key, 'limit:' .. id, limit)
    if fresh then call('HSET', key, 'captured:' .. id, 0, 'held:' .. id, 0) end
  end
  if budgets > 0 then call('HSET', key, 'more', 1, 'budgets', table.concat(ids, ' ')) end
  if ARGV[at] ~= '' then call('HSET', key, 'more', 1, 'until', ARGV[at], 'then', ARGV[at + 1]) end
end

-- Sets those that Redis lacks and are not over, and where the terms are `newer` also what is granted, what limits it and
-- when it ends. A period known before that reaches into the first of them is closed where that one starts; one still to
-- come that the terms do not name any more goes, if nothing was taken in it.
local function set_periods(periods, known, first, count, budgets, newer, now_ms)
  local starts, named, added = {}, {}, false
  for index = 0, count - 1 do
    local at = first + 6 * index
    local key, start = periods .. ARGV[at], ARGV[at]
    local there = call('EXISTS', key) == 1
    local fresh = not there and tonumber(ARGV[at + 1]) > now_ms
    if fresh or there and newer then
      call('HSET', key, 'end', ARGV[at + 1], 'granted', ARGV[at + 2], 'over', ARGV[at + 3])
      if fresh then call('HSET', key, 'captured', 0, 'held', 0) end
      set_limits(key, at + 4, first + 6 * count, budgets, fresh)
    end
    there, added = there or fresh, added or fresh
    if there then
      starts[#starts + 1] = start
      named[start] = true
    end
  end
  local earliest = count > 0 and tonumber(ARGV[first])
  for start in string.gmatch(known, '[^,]+') do
    local key = periods .. start
    local p = not named[start] and call('HMGET', key, 'end', 'captured', 'held') or {}
    if p[1] then
      local kept = true
      if newer and earliest and tonumber(start) < earliest and tonumber(p[1]) > earliest then
        call('HSET', key, 'end', earliest)
      elseif newer and earliest and tonumber(start) > earliest and tonumber(start) > now_ms then
        kept = tonumber(p[2]) ~= 0 or tonumber(p[3]) ~= 0
        if not kept then call('DEL', key) end
      end
      if kept then starts[#starts + 1] = start end
    end
  end
  table.sort(starts, function(a, b) return tonumber(a) < tonumber(b) end)
  return {starts = table.concat(starts, ','), added = added}
end
