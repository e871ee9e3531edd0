#!lua flags=allow-oom
-- idem_forget: the first call was refused or cost nothing: the next one with its key is a call of its own.
--
-- KEYS  1 idem
-- ARGV  1 hold id
-- Reply 1 if the claim is gone, 0 if it is another call's by now, or its reply is kept.

local record = call('HMGET', KEYS[1], 'hold', 'reply')
if record[1] ~= ARGV[1] or record[2] then return 0 end
call('DEL', KEYS[1])
return 1
