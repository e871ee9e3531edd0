#!lua flags=allow-oom
-- idem_keep: keeps the first reply, for whoever repeats the call.
--
-- KEYS  1 idem
-- ARGV  1 hold id  2 digest of the request ('' if not known)  3 reply
-- Reply 1 if it is kept, 0 if the claim is another call's by now, or gone.

local record = call('HMGET', KEYS[1], 'hold', 'digest')
if record[1] ~= ARGV[1] then return 0 end
call('HSET', KEYS[1], 'digest', ARGV[2] ~= '' and ARGV[2] or record[2], 'reply', ARGV[3])
return 1
