#!lua flags=allow-oom
-- claim: the job that a service names last is some hold's own, and no other's: what it costs is charged once.
--
-- KEYS  1 claim of the job  2 own job of the hold
-- ARGV  1 hold id  2 job id, '' where only the hold's own is asked for  3 life ms
-- Reply {the hold's own job or false, when another hold has claimed this one or 0}. A hold has one job of its own.

-- read
local own = call('GET', KEYS[2])
if own then return {own, 0} end
if ARGV[2] == '' then return {false, 0} end
local claim = call('HMGET', KEYS[1], 'hold', 'at')
-- check
if claim[1] and claim[1] ~= ARGV[1] then return {false, tonumber(claim[2])} end
-- write
call('HSET', KEYS[1], 'hold', ARGV[1], 'at', to_ms(now_us()))
call('PEXPIRE', KEYS[1], ARGV[3])
call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3])
return {ARGV[2], 0}
