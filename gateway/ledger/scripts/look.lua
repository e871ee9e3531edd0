#!lua flags=allow-oom
-- look: sets when a followed job is looked at next, and remembers since when it is known to have ended, or to be gone.
-- One that is not followed (any more) stays so.
--
-- KEYS  1 follow  2 hold
-- ARGV  1 hold id  2 in ms  3 'ended', 'stopped' (ended midway), 'gone', 'there' (not gone after all) or ''
-- Reply 1 if the job is followed, else 0.

-- read
local score = call('ZSCORE', KEYS[1], ARGV[1])
-- check
if not score then return 0 end
-- write
local now_ms = to_ms(now_us())
call('ZADD', KEYS[1], 'XX', now_ms + ARGV[2], ARGV[1])
if ARGV[3] == 'there' then
  call('HDEL', KEYS[2], 'gone')
elseif ARGV[3] ~= '' then
  call('HSETNX', KEYS[2], ARGV[3], now_ms)
end
return 1
