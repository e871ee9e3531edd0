#!lua flags=no-writes
-- outbox_page: one account's records in a part of its shard's outbox.
--
-- KEYS  1 outbox
-- ARGV  1 account  2 from (a stream id, or -)  3 most records to read
-- Reply {where to go on, or '' at the end, {{stream id, {field, value, ...}}, ...}}

local page = call('XRANGE', KEYS[1], ARGV[2], '+', 'COUNT', ARGV[3])
local found = {}
for _, record in ipairs(page) do
  local fields = record[2]
  for index = 1, #fields, 2 do
    if fields[index] == 'account' then
      if fields[index + 1] == ARGV[1] then found[#found + 1] = record end
      break
    end
  end
end
local go_on = #page == tonumber(ARGV[3]) and '(' .. page[#page][1] or ''
return {go_on, found}
