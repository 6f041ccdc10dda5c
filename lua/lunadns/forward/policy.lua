--- In which order the upstreams are tried. The order of one query is a number, so that nothing is allocated for
--- it and
--- it survives a wait: `start()` draws it, `at(order, i)` is the i-th upstream of it, both from 0.
local boundary = require "lunadns.boundary"
local C = boundary.C

local policy = {}

-- A multiplier below 2^21 keeps the product exact in a double.
local MODULUS, MULTIPLIER = 2 ^ 31 - 1, 48271

--- Every order of n equally likely, up to what 31 bits can tell apart.
---@param n integer
local function random(n)
  local shuffled = {}
  local function start()
    if n == 1 then return 0 end
    return C.luna_random_below(MODULUS)
  end
  local function at(order, i)
    if i == 0 then return order % n end
    for k = 0, n - 1 do shuffled[k] = k end
    for k = 0, i do
      local other = k + order % (n - k)
      shuffled[k], shuffled[other] = shuffled[other], shuffled[k]
      order = (order * MULTIPLIER + 1) % MODULUS
    end
    return shuffled[i]
  end
  return start, at
end

--- One further than the last query, then the others in the order of the Corefile (not a rotation).
---@param n integer
local function round_robin(n)
  local turn = 0
  local function start()
    turn = (turn + 1) % n
    return turn
  end
  local function at(first, i)
    if i == 0 then return first end
    if i <= first then return i - 1 end
    return i
  end
  return start, at
end

local function sequential()
  return function() return 0 end, function(_, i) return i end
end

---@type table<string, fun(n: integer): function, function>
local policies = { random = random, round_robin = round_robin, sequential = sequential }

---@param name "random"|"round_robin"|"sequential"
---@param n integer upstreams
---@return fun(): integer start
---@return fun(order: integer, i: integer): integer at
function policy.new(name, n) return policies[name](n) end

return policy
