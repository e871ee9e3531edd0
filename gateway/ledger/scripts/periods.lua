-- Part: the periods of an account as the books tell them. ARGV holds, from `first` on, `count` x (start, end, granted,
-- overage), in order. Sets those that Redis lacks and are not over, and where the terms are `newer` also what is granted
-- and when it ends. A period known before that reaches into the first of them is closed where that one starts; one still
-- to come that the terms do not name any more goes, if nothing was taken in it.
local function set_periods(periods, known, first, count, newer, now_ms)
  local starts, named, added = {}, {}, false
  for index = 0, count - 1 do
    local at = first + 4 * index
    local key, start = periods .. ARGV[at], ARGV[at]
    local there = call('EXISTS', key) == 1
    if not there and tonumber(ARGV[at + 1]) > now_ms then
      call('HSET', key, 'end', ARGV[at + 1], 'granted', ARGV[at + 2], 'over', ARGV[at + 3], 'captured', 0, 'held', 0)
      there, added = true, true
    elseif there and newer then
      call('HSET', key, 'end', ARGV[at + 1], 'granted', ARGV[at + 2], 'over', ARGV[at + 3])
    end
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
