#!lua flags=allow-oom
-- look: sets when a followed job is looked at next. One that is not followed (any more) stays so.
--
-- KEYS  1 follow
-- ARGV  1 hold id  2 in ms
-- Reply 1 if the job is followed, else 0.

local score = call('ZSCORE', KEYS[1], ARGV[1])
if not score then return 0 end
call('ZADD', KEYS[1], 'XX', to_ms(now_us()) + ARGV[2], ARGV[1])
return 1
