-- Random mutations of Corefiles: reading them ends, never throws, and says where the error is.
local corefile = require "lunadns.corefile"

local SEEDS = "spec/fuzz/seeds/corefile/"
local CASES = 2000

local GLOBAL = { "^error inspecting server blocks: .", "^address %-?%d+: invalid port$" }

local function documented(err)
  if err:find("%c") then return false end
  -- The file is one of those this spec has, by its whole name: an import's name may hold a colon.
  if err:find("^Corefile:%d+ %- .") or err:find("^/dns/.+:%d+ %- .") then return true end
  for _, pattern in ipairs(GLOBAL) do
    if err:find(pattern) then return true end
  end
  return false
end

-- A generator of its own, so that the cases are the same everywhere.
local state = 20240917
local function random(n)
  state = (state * 16807) % 2147483647
  return state % n + 1
end

local PIECES = {
  "{", "}", " {\n", "\n}\n", "\n", " ", '"', "\\", "#", ",", "import ", "import s\n", "(s) {\n", "import self\n",
  "{$A}", "{%A%}", "{$", ":", "://", "tls://", "/15", "::/30", "*", "?", "[",
  "\0", "\255", "\194\160", "..", ":99999", "\r\n",
}

local function mutate(text, other)
  for _ = 1, random(6) do
    local at = random(#text + 1)
    local kind = random(4)
    if kind == 1 then
      text = text:sub(1, at - 1) .. PIECES[random(#PIECES)] .. text:sub(at)
    elseif kind == 2 then
      text = text:sub(1, at - 1) .. text:sub(at + random(8))
    elseif kind == 3 then
      text = text:sub(1, at - 1) .. string.char(random(256) - 1) .. text:sub(at + 1)
    else
      local from = random(#other + 1)
      text = text:sub(1, at - 1) .. other:sub(from, from + random(60)) .. text:sub(at)
    end
  end
  return text
end

describe("mutated Corefiles", function()
  it("are read or refused with a place", function()
    local seeds = {}
    for i = 1, 20 do
      local path = ("%s%02d.corefile"):format(SEEDS, i)
      local f = assert(io.open(path, "rb"))
      seeds[i] = f:read("*a")
      f:close()
    end
    local read, refused = 0, 0
    for i = 1, CASES do
      local seed = seeds[random(#seeds)]
      local text = i <= #seeds and seeds[i] or mutate(seed, seeds[random(#seeds)])
      local config, err = corefile.read("Corefile", text, {
        cwd = "/dns",
        readfile = function() return text end,
        glob = function(pattern) return pattern:find("self$") and { pattern } or {} end,
        getenv = function(name) return name == "A" and "a {$B} {" or nil end,
      })
      if config then
        assert.is_true(#config.blocks > 0)
        assert.is_string(corefile.to_json(config))
        read = read + 1
      else
        assert.is_true(documented(err), ("case %d: %q gave %s"):format(i, text, err))
        refused = refused + 1
      end
    end
    assert.is_true(read > CASES / 20 and refused > CASES / 20, read .. " read, " .. refused .. " refused")
  end)

  it("take linear time", function()
    local function seconds(n)
      local text = ". {\n" .. ('foo a "b c" { # x\n d {$E}\n}\n'):rep(n) .. "}"
      collectgarbage()
      local start = os.clock()
      assert(corefile.read("Corefile", text, { cwd = "/" }))
      return os.clock() - start
    end
    seconds(2000)
    local small, large = seconds(5000), seconds(40000)
    assert.is_true(large < small * 8 * 6 + 0.2, ("%.3f s for 5000, %.3f s for 40000"):format(small, large))
  end)
end)
