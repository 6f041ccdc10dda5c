--- The weight file of loadbalance: read at start and again when its content changed. One table in the core for all
--- workers.
local ffi = require "ffi"
local address = require "lunadns.options.address"
local boundary = require "lunadns.boundary"
local duration = require "lunadns.options.duration"

local C = boundary.C
local weights = {}

--- Reads the text of a weight file: a name on a line of its own, then an address and its weight on each line.
---@param text string
---@param file string for messages
---@return table[]|nil list { owner = luna_name, addr = luna_addr, weight = integer }
---@return string|nil err
function weights.parse(text, file)
  local list, owner = {}, nil
  for line in (text .. "\n"):gmatch "([^\n]*)\n" do
    local first, second, third = line:match "^%s*(%S*)%s*(%S*)%s*(%S*)"
    ---@cast first -?
    ---@cast second -?
    local comment = first == "" or first:sub(1, 1) == "#"
    if second == "" and not comment then
      local err
      if address.ip(first) then
        err = ('wrong domain name:"%s" in weight file %s. (Maybe a missing weight value?)'):format(first, file)
      else
        owner = boundary.name(first)
        err = not owner and ('wrong domain name:"%s" in weight file %s'):format(first, file)
      end
      if err then return nil, err end
    elseif third ~= "" and not comment then
      return nil, ('could not parse weight line:"%s" in weight file %s'):format(line:match "^%s*(.-)%s*$", file)
    elseif not comment then
      local ip, weight = address.ip(first), second:find "^%d%d?%d?$" and tonumber(second)
      if not ip then return nil, ('wrong IP address:"%s" in weight file %s'):format(first, file) end
      if not weight or weight < 1 or weight > 255 then
        return nil, ('wrong weight value:"%s" in weight file %s; expected 1 to 255'):format(second, file)
      end
      if not owner then return nil, ("missing domain name in weight file %s"):format(file) end
      list[#list + 1] = { owner = owner, addr = assert(boundary.addr(ip)), weight = weight }
    end
  end
  return list
end

local function read(file)
  local f, err = io.open(file, "rb")
  if not f then return nil, err end
  local text, why = f:read "*a"
  f:close()
  if text then return text end
  return nil, ("%s: %s"):format(file, why)
end

--- 48 bits of the content's hash: a number that Lua holds.
local function mark_of(text)
  local hex = ffi.new "char[129]"
  C.luna_sha512(text, #text, hex)
  return tonumber(ffi.string(hex, 12), 16)
end

local function publish(handle, list)
  local array = ffi.new("luna_weight[?]", math.max(#list, 1))
  for i, item in ipairs(list) do
    array[i - 1].owner, array[i - 1].addr, array[i - 1].weight = item.owner.hash, item.addr, item.weight
  end
  return C.luna_weights_set(handle, array, #list) == 0
end

--- Opens the weights of a file.
---@param file string
---@param reload number seconds; 0 = read once
---@param server LunaServer
---@return ffi.cdata* luna_weights
function weights.open(file, reload, server)
  local handle, seen = C.luna_weights_open(file), C.luna_shared_counter("loadbalance " .. file)
  if handle == nil or seen == nil then error("out of memory", 0) end
  server:on_close(function()
    C.luna_weights_close(handle)
    C.luna_shared_release(seen)
  end)

  --- Returns what is wrong with a text; nil when it is in use now.
  local function use(text)
    local list, err = weights.parse(text, file)
    if not list then return err end
    if not publish(handle, list) then return "out of memory" end
    C.luna_shared_swap(seen, mark_of(text))
    server:log("info", "Successfully reloaded weight file %s", file)
  end

  if server.role == "control" then
    local text, err = read(file)
    if text then
      err = use(text)
      if err then error(err, 0) end
    elseif reload == 0 then
      error("weight file open error: " .. err, 0)
    else
      server:log("warning", "Failed to open weight file:%s. Will try again in %s", err, duration.text(reload))
    end
  elseif reload > 0 then
    server:every(reload, function()
      local text, err = read(file)
      if not text then
        server:log("error", "weight file open error: %s", err)
      elseif mark_of(text) ~= tonumber(C.luna_shared_get(seen)) then
        C.luna_shared_swap(seen, mark_of(text)) -- a wrong one is reported once
        err = use(text)
        if err then server:log("error", "%s", err) end
      end
    end, { once = true })
  end
  return handle
end

return weights
