#!lua
-- idem_claim: is this the first call with its Idempotency-Key?
--
-- KEYS  1 idem
-- ARGV  1 key prefix of the shard  2 the new call's hold id  3 digest of its request ('' if not known yet)
--       4 life of the record ms  5 time in which a claim without a hold is taken for a call that is being admitted, ms
--       6 a hold id that the books have not charged ('' if they were not asked)
--       7 time after its claim in which an expired call may still be charged, ms
-- Reply {'claimed'}: it is, go on. {'in_progress'}, {'mismatch'}, {'reply', first reply}.
--       {'charged', hold id}: the first call was charged, and its reply was lost with its process.
--       {'ask', hold id}: Redis has forgotten the first call's hold, or never had it: ask the books.
-- A first call that was not charged (its hold was released, or expired, or never came to be) gives way to the next.

-- read
local now_ms = to_ms(now_us())
local record = call('HMGET', KEYS[1], 'hold', 'digest', 'reply', 'at')
-- check
if record[1] and record[1] ~= ARGV[2] then
  if record[2] ~= '' and ARGV[3] ~= '' and record[2] ~= ARGV[3] then return {'mismatch'} end
  if record[3] then return {'reply', record[3]} end
  local state = call('HGET', ARGV[1] .. 'hold:' .. record[1], 'state')
  if state == 'open' then return {'in_progress'} end
  -- An expired hold may still be captured, late, by a process that could not reach Redis.
  if state == 'expired' and now_ms - record[4] < tonumber(ARGV[7]) then return {'in_progress'} end
  if state == 'captured' then return {'charged', record[1]} end
  if not state and now_ms - record[4] < tonumber(ARGV[5]) then return {'in_progress'} end
  if not state and record[1] ~= ARGV[6] then return {'ask', record[1]} end
end
-- write
call('HSET', KEYS[1], 'hold', ARGV[2], 'digest', ARGV[3], 'at', now_ms)
call('PEXPIRE', KEYS[1], ARGV[4])
return {'claimed'}
