-- Part: milliseconds of the clock's microseconds. Lua's own `..` rounds a number to 14 digits: numbers go to Redis as
-- arguments, which are written out in full, and never into text.
local function to_ms(time_us)
  return (time_us - time_us % 1000) * 0.001
end
