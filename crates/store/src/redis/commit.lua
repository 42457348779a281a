-- One atomic step: if what was read is still so, everything is written; else nothing is.
--
-- KEYS: every key of the step, all in one slot. ARGV: the number of checks; the checks, each as
-- kind, key, x, y; then the commands, each as the number of its words, its name, its key, its
-- arguments. A key stands as its number in KEYS. Answers 0, or the number of the first check that
-- does not hold. Two commands are no commands of Redis: TAKEUNLESS removes a member of a sorted set,
-- unless the sorted set that it names behind it has any. PUTNEXT puts a member into a sorted set under
-- the number after the one in a hash's field, or under the least that it names if that is more, and
-- sets the field.
local call, argv, keys = redis.call, ARGV, KEYS
local at = 2
for number = 1, tonumber(argv[1]) do
    local kind, key, x, y = argv[at], keys[tonumber(argv[at + 1])], argv[at + 2], argv[at + 3]
    at = at + 4
    local holds
    if kind == 'is' then
        holds = call('HGET', key, x) == y
    elseif kind == 'absent' then
        holds = call('HEXISTS', key, x) == 0
    elseif kind == 'score' then
        holds = tonumber(call('ZSCORE', key, x) or '') == tonumber(y)
    elseif kind == 'size' then
        holds = call('ZCARD', key) == tonumber(x)
    else
        -- Open runs of a task that do not wait: those ahead of the ones that do.
        local ahead = call('ZCARD', key) - call('ZCARD', keys[tonumber(x)])
        if kind == 'ahead' then
            holds = ahead == tonumber(y)
        else
            holds = ahead >= tonumber(y)
        end
    end
    if not holds then
        return number
    end
end
local last = #argv
while at < last do
    local words = tonumber(argv[at])
    local name, key = argv[at + 1], keys[tonumber(argv[at + 2])]
    if name == 'TAKEUNLESS' then
        if call('ZCARD', keys[tonumber(argv[at + 4])]) == 0 then
            call('ZREM', key, argv[at + 3])
        end
    elseif name == 'PUTNEXT' then
        local counter, field, least = keys[tonumber(argv[at + 4])], argv[at + 5], tonumber(argv[at + 6])
        local number = math.max(tonumber(call('HGET', counter, field) or 0) + 1, least)
        local text = string.format('%.0f', number)
        call('HSET', counter, field, text)
        call('ZADD', key, text, argv[at + 3])
    else
        call(name, key, unpack(argv, at + 3, at + words))
    end
    at = at + words + 1
end
return 0
