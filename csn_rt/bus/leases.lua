-- Who watches one broadcast, and how many they are. The rules are at the top of leases.py; leases_memory.py is
-- the same in Python. Running it again with the same arguments changes nothing more: the lease of a session is
-- set to "at least until", an end removes what may be gone already.
--
-- KEYS  leases: "person|session" -> when the session's lease ends (zset, Redis time in ms)
--       index:  the same members, all with score 0, so that a person's sessions are a range of it
--       people: person -> when the last of the person's leases ends
--       state:  what was computed and told (hash)
-- ARGV  age_ms, settle_ms, pace_ms, gap_ms, pause_ms, keep_ms, seq_floor, peak_floor,
--       purpose (read | tell | end), number of holds, then person, session, remaining_ms of each;
--       then person, session of each end

local leases, index, people, state = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local age_ms, settle_ms, pace_ms, gap_ms = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local pause_ms, keep_ms = tonumber(ARGV[5]), tonumber(ARGV[6])
local seq_floor, peak_floor, purpose, holds = tonumber(ARGV[7]), tonumber(ARGV[8]), ARGV[9], tonumber(ARGV[10])
local FIRST = 11
local SESSION_LENGTH = 36

local time = redis.call('TIME')
local now_us = time[1] * 1000000 + time[2]
local now = math.floor(now_us / 1000)

local NAMES = {'life', 'seen_at', 'settles_at', 'ended_at', 'told_at', 'count', 'told', 'told_peak', 'told_sessions',
               'peak', 'seq', 'staff_seq', 'viewer_ms'}
local s = {}
for n, value in ipairs(redis.call('HMGET', state, unpack(NAMES))) do
    s[NAMES[n]] = tonumber(value or false) or 0
end

local function lose()
    redis.call('DEL', leases, index, people)
    s = {life = now_us, seen_at = now, settles_at = 0, ended_at = 0, told_at = 0, count = 0, told = -1, told_peak = -1,
         told_sessions = -1, peak = 0, seq = s.seq, staff_seq = s.staff_seq, viewer_ms = 0}
    -- What is new has nobody yet; of what is old, or had somebody already, everybody has to be heard again first.
    if age_ms > settle_ms or peak_floor > 0 then s.settles_at = now + settle_ms end
end

local function bump(seq)
    return math.max(seq + 1, seq_floor + 1, now)
end

if s.life == 0 then
    lose()
elseif math.abs(now - s.seen_at) > gap_ms and redis.call('ZCARD', people) > 0 then
    lose()
end

local is_ended = s.ended_at > 0 and now - s.ended_at < pause_ms
if not is_ended then
    s.ended_at = 0
    local at = FIRST
    for _ = 1, holds do
        local person, session, ends_at = ARGV[at], ARGV[at + 1], now + tonumber(ARGV[at + 2])
        local member = person .. '|' .. session
        if redis.call('ZADD', leases, 'GT', ends_at, member) == 1 then
            redis.call('ZADD', index, 0, member)
        end
        redis.call('ZADD', people, 'GT', ends_at, person)
        at = at + 3
    end
    while ARGV[at] do
        local person = ARGV[at]
        local member = person .. '|' .. ARGV[at + 1]
        redis.call('ZREM', leases, member)
        redis.call('ZREM', index, member)
        local last = 0
        for _, other in ipairs(redis.call('ZRANGEBYLEX', index, '[' .. person .. '|', '(' .. person .. '}')) do
            -- Another person's id may begin like this one; only a session id's length may follow.
            if #other == #person + 1 + SESSION_LENGTH then
                last = math.max(last, tonumber(redis.call('ZSCORE', leases, other) or 0))
            end
        end
        if last > 0 then
            redis.call('ZADD', people, 'XX', string.format('%.0f', last), person)
        else
            redis.call('ZREM', people, person)
        end
        at = at + 2
    end
end

local over = redis.call('ZRANGEBYSCORE', leases, '-inf', now)
for from = 1, #over, 1000 do
    redis.call('ZREM', index, unpack(over, from, math.min(from + 999, #over)))
end
redis.call('ZREMRANGEBYSCORE', leases, '-inf', now)
redis.call('ZREMRANGEBYSCORE', people, '-inf', now)

local sessions = redis.call('ZCARD', leases)
local is_settled = now >= s.settles_at
if is_settled then
    s.viewer_ms = s.viewer_ms + s.count * math.max(0, now - math.max(s.seen_at, s.settles_at))
end
s.count = redis.call('ZCARD', people)
s.seen_at = now

local tells_at, is_changed, is_staff_changed = 0, 0, 0
if is_settled and not is_ended then
    s.peak = math.max(s.peak, s.count, peak_floor)
    local differs = s.told ~= s.count or s.told_peak ~= s.peak
    if purpose == 'tell' and (differs or s.told_sessions ~= sessions) then
        if now >= s.told_at + pace_ms or now < s.told_at then
            if differs then
                s.seq, is_changed = bump(s.seq), 1
            end
            s.staff_seq, is_staff_changed = bump(s.staff_seq), 1
            s.told, s.told_peak, s.told_sessions, s.told_at = s.count, s.peak, sessions, now
        else
            tells_at = s.told_at + pace_ms
        end
    end
end
if purpose == 'end' then
    s.ended_at, s.seq, s.staff_seq = now, bump(s.seq), bump(s.staff_seq)
end

local fields = {}
for name, value in pairs(s) do
    fields[#fields + 1] = name
    fields[#fields + 1] = string.format('%.0f', value)
end
redis.call('HSET', state, unpack(fields))
for _, key in ipairs(KEYS) do
    redis.call('PEXPIRE', key, keep_ms)
end

return {s.count, sessions, s.told, s.told_peak, s.told_sessions, s.peak, s.seq, s.staff_seq, now, s.life,
        is_changed, is_staff_changed, is_settled and 0 or s.settles_at - now, tells_at > 0 and tells_at - now or 0,
        is_ended and 1 or 0, s.viewer_ms}
