-- Part: what limits an account beside its plan, in a period's hash. `more` marks a period that has any of it, so that
-- accounts without pay for one field. `until` and `then`: when the overage ceiling changes by itself, and to what.
-- `budgets`: ids of the projects and keys that have one, with blanks; for each `limit:<id>`, and once it is counted
-- `captured:<id>` and `held:<id>`. While it is being counted, `since:<id>` is the seq after which endings are added.

-- All of it is behind one function, which accounts without never call: making functions is what costs a script time.
local function limits_of(key)
  local of = {}

  -- What may be used beyond the grant at `now_ms`.
  function of.overage_at(over, now_ms)
    local change = call('HMGET', key, 'until', 'then')
    if change[1] and now_ms >= tonumber(change[1]) then return tonumber(change[2]) end
    return tonumber(over)
  end

  -- Who has a budget that counts a call: its project and its key, as its facts name them.
  function of.budgets(facts)
    local found = {}
    if not call('HGET', key, 'budgets') then return found end
    local told = cjson.decode(facts)
    for _, id in ipairs({told.project_id, told.key_id}) do
      local budget = call('HMGET', key, 'limit:' .. id, 'captured:' .. id, 'held:' .. id, 'since:' .. id)
      if budget[1] then
        found[#found + 1] = {id = id, limit = tonumber(budget[1]), captured = tonumber(budget[2] or 0),
          held = tonumber(budget[3] or 0), begun = budget[2] and true, counted = budget[2] and not budget[4]}
      end
    end
    return found
  end

  -- Adds to what budgets have held and captured; of one whose counting has not begun, that finds it out itself.
  function of.spend(budgets, held, captured)
    for _, budget in ipairs(budgets) do
      if budget.begun then
        if tonumber(held) ~= 0 then call('HINCRBY', key, 'held:' .. budget.id, held) end
        if tonumber(captured) ~= 0 then call('HINCRBY', key, 'captured:' .. budget.id, captured) end
      end
    end
  end

  return of
end
