--- Runs setup functions so that they may wait: each in a runner, while the thread that makes the generation turns a loop
--- of its own until the runner has ended. The workers that serve go on meanwhile.
local boundary = require "lunadns.boundary"
local ffi = require "ffi"

local C = boundary.C
local pcall = pcall

local setup = {}

local ROOT = ffi.new("uint8_t[1]")
local NS = 2

---@class LunaSetup
---@field begin fun(strand: LunaStrand) called before each wait: its worker and its slot are made
---@field spawn fun(fn: fun(q: ffi.cdata*), q?: ffi.cdata*, hook?: string, site?: integer): true begins when the generation
---takes over
---@field starters table[] what spawn was given
---@field run fun(fn: function, a: any, b: any, c: any): boolean, any as pcall; the last argument is the LunaServer
---@field site? integer a key of the block that is being set up
---@field finish fun() takes worker and slots away

local UNASKED = "%s:%d: %s: setup asks %s. A check asks nobody: what setup does with the answer was not checked"

--- A setup of `lunadns check` that wants an answer from elsewhere: there is none, and what it would be cannot be known. It is
--- left where it waits, and the check goes on without its handler.
local function unasked(driver, server)
  local directive = server.owner.instance.directive
  local text = UNASKED:format(directive.file, directive.line, server.name, driver.unasked)
  driver.unasked = nil
  C.luna_log(driver.state, C.LUNA_WARNING, text, #text)
  return true
end

---@param driver LunaRunner
---@param pump? fun(): boolean? waits until something is woken, true when nothing is to wait any more: specs have their own
---@return LunaSetup
function setup.new(driver, pump)
  local state = driver.state
  local self = { starters = {} }
  pump = pump or function() return C.luna_setup_pump(state) < 0 end

  function self.begin(strand)
    if C.luna_setup_begin(state) < 0 then error("no memory or descriptors to wait with", 0) end
    if not strand.q then
      local q = C.luna_query_new(state, ROOT, 1, NS, 1, 0, 0)
      if q == nil then error("no query slot to wait in", 0) end
      strand.q = q
    end
  end

  function self.spawn(fn, q, hook, site)
    self.starters[#self.starters + 1] = { fn, q, hook, site or self.site }
    return true
  end

  local call, ok, result, done ---@type function, boolean, any, boolean

  local function task(_, arguments)
    ok, result = pcall(call, arguments[1], arguments[2], arguments[3])
    done = true
  end

  function self.run(fn, a, b, c)
    local site = (c or b).sites[1]
    self.site = site and site.number
    call, done = fn, false
    driver.start(task, false, "setup", { a, b, c }, 0, self)
    while not done do
      if state.checking ~= 0 and driver.unasked then return unasked(driver, c or b) end
      if pump() then return false, "the process was told to end while this waited" end
      driver.entry()
    end
    return ok, result
  end

  function self.finish()
    C.luna_setup_end(state)
    driver.reset()
  end

  return self
end

return setup
