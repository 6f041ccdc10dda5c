--- What stands around a handler: whose reply it is, and for plugins of users the way around them when they fail.
local ffi = require "ffi"
local options = require "lunadns.options"

local guard = {}

-- Chunk texts, so that each instance's wrapper is a prototype of its own: see loader.lua.

-- The name of the plugin that wrote a reply is known by where it first appears on the way out.
local SIGNED = [[
local handler, number = ...
return function(q)
  local rcode, err = handler(q)
  if q.author < 0 and q.reply_len > 0 then q.author = number end
  return rcode, err
end]]

local GUARDED = [[
local handler, next, number, switch = ...
return function(q)
  if switch[0] ~= 0 or q.skip == number then return next(q) end
  local rcode, err = handler(q)
  if type(rcode) ~= "number" then
    error("the handler returned " .. type(rcode) .. ", expected an rcode: `return next(q)` to pass the query on, or " ..
      "what a method such as q:answer_address returned", 0)
  end
  if q.author < 0 and q.reply_len > 0 then q.author = number end
  return rcode, err
end]]

--- The handler with its signature.
---@param handler function
---@param number integer of the instance
---@return function
function guard.sign(handler, number) return assert(loadstring(SIGNED, "=chain"))(handler, number) end

--- The handler with a switch that leaves it out.
---@param handler function
---@param next function what is asked instead
---@param number integer of the instance
---@param env table the plugin's globals: errors of the wrapper are the plugin's
---@return function handler
---@return ffi.cdata* switch uint8_t[1], 1 = left out
function guard.wrap(handler, next, number, env)
  local switch = ffi.new "uint8_t[1]"
  local chunk = assert(loadstring(GUARDED, "=chain"))
  return setfenv(chunk, env)(handler, next, number, switch), switch
end

local ACTIONS = { "servfail", "skip", "drop" }
local schema = options.compile("on_error", {
  { "action", values = ACTIONS, required = true, doc = "What a query gets when the plugin fails." },
  { "count", type = "int", min = 0, default = 100, doc = "Errors until it is left out, 0 = never." },
  { "period", type = "duration", default = "10s", min = "1s", doc = "Within this time." },
})

--- Takes the `on_error` lines out of a directive: every plugin has them, unless it has an option of that name itself.
---@param run LunaRun
---@param plugin LunaPlugin
---@return LunaRun run without them
---@return table|nil rule { action, count, period }
---@return string|nil err
function guard.rule(run, plugin)
  if not run.block or plugin.schema.body.options.on_error then return run end
  local rest, rule = {}, nil
  for _, entry in ipairs(run.block) do
    if entry.name.text ~= "on_error" then
      rest[#rest + 1] = entry
    else
      local err
      rule, err = schema:parse({ args = entry.args, block = entry.block, file = entry.name.file, line = entry.name.line }, {})
      if not rule then return run, nil, err end
    end
  end
  if not rule then return run end
  local own = {} ---@type table<string, any>
  for key, value in pairs(run) do own[key] = value end
  own.block = rest
  return own --[[@as LunaRun]], rule
end

return guard
