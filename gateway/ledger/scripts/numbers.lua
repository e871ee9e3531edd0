-- Part: whole numbers as text and times in milliseconds. Lua's own `..` rounds a number to 14 digits.
local function int(number)
  return string.format('%.0f', number)
end

local function to_ms(time_us)
  return (time_us - time_us % 1000) * 0.001
end
