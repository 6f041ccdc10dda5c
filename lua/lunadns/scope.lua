--- What a generation's Lua state holds open of the core's shared data. It is given back when the generation ends, or by the
--- garbage collector when its Corefile turned out to be wrong.
local ffi = require "ffi"

local scope = {}

---@class LunaScope
---@field state ffi.cdata* luna_state, NULL outside of a server
---@field closers function[]|nil
---@field opened table<string, any> what is open, by kind and name

local function new(state, closers) return { state = state, closers = closers, opened = {}, anchors = {} } end

local current = new(ffi.cast("luna_state *", nil))

--- Plugins are loaded and set up from here on for this state.
---@param state ffi.cdata* luna_state
---@param closers function[] what runs when the generation ends
function scope.enter(state, closers) current = new(state, closers) end

---@return ffi.cdata* state luna_state of what is being set up, or was last
function scope.state() return current.state end

--- The object of a key, opened once in a scope. open returns the object and its handle of the core, or nil and why not.
---@param key string
---@param open fun(state: ffi.cdata*): any, any
---@param close fun(handle: ffi.cdata*)
---@return any object
---@return string? err
function scope.open(key, open, close)
  local object = current.opened[key]
  if object then return object end
  local handle
  object, handle = open(current.state)
  if not object then return nil, handle end
  local anchor = ffi.gc(handle, close)
  current.opened[key] = object
  current.anchors[#current.anchors + 1] = anchor
  if current.closers then
    table.insert(current.closers, function() close(ffi.gc(anchor, nil)) end)
  end
  return object
end

return scope
