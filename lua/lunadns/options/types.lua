--- The value types of options: how a token's text becomes a value.
-- A type's `parse` takes the text and returns the value, or nil and what is wrong. The caller
-- puts the quoted text before it: "'banana' is not an IP address".

local address = require "lunadns.options.address"
local duration = require "lunadns.options.duration"
local registry = require "lunadns.options.registry"
local words = require "lunadns.options.words"
local zone = require "lunadns.options.zone"

---@class LunaOptionType
---@field lua "string"|"number"|"boolean" the Lua type of the value
---@field parse fun(text: string, spec: table, ctx: table): any, string? the value, or nil and what is wrong
---@field show? fun(value: any): string the value as a user would write it
---@field range? boolean `min` and `max` apply
---@field min? number the lowest value when the option names none
---@field max? number
---@field many? boolean one token may give several values: `parse` returns a list
---@field arg string the argument's name in help when the option gives none
---@field doc string what the reference page says of the type

---@type table<string, LunaOptionType>
local types = {}

-- Whole numbers are exact in a Lua number up to here.
local LARGEST = 2 ^ 53

local function whole(text)
  if not text:find("^[+-]?%d+$") then return nil, "is not a whole number" end
  local value = tonumber((text:gsub("^%+", "")))
  if value > LARGEST or value < -LARGEST then return nil, "is too large a number" end
  return value
end

local function number(text)
  local digits = text:match("^[+-]?(%d*%.?%d*)$")
  if not digits or not digits:find("%d") or #text > 300 then return nil, "is not a number" end
  return tonumber((text:gsub("^%+", "")))
end

local function show_number(value) return ("%.15g"):format(value) end

types.string = {
  lua = "string", arg = "TEXT", doc = "text",
  parse = function(text) return text end,
}

types.int = { lua = "number", arg = "N", doc = "whole number", range = true, parse = whole, show = show_number }

types.number = { lua = "number", arg = "N", doc = "number", range = true, parse = number, show = show_number }

types.percent = {
  lua = "number", arg = "PERCENT", doc = "percentage, such as `10%`", range = true, min = 0, max = 100,
  parse = function(text)
    local digits = text:match("^(.*)%%$")
    local value = digits and whole(digits)
    if not value then return nil, "is not a percentage: expected a whole number and '%', such as 10%" end
    return value
  end,
  show = function(value) return show_number(value) .. "%" end,
}

types.port = {
  lua = "number", arg = "PORT", doc = "port number", range = true, min = 1, max = 65535,
  parse = function(text)
    if not text:find("^%d+$") then return nil, "is not a port number" end
    return whole(text)
  end,
  show = show_number,
}

types.duration = {
  lua = "number", arg = "DURATION", doc = "duration, such as `30s` or `1h30m`", range = true, min = 0,
  parse = function(text, spec)
    if spec.bare and text:find("%d$") then return duration.parse(text .. spec.bare) end
    return duration.parse(text)
  end,
  show = duration.text,
}

local SIZES = { [""] = 1, B = 1, K = 2 ^ 10, M = 2 ^ 20, G = 2 ^ 30, T = 2 ^ 40 }

types.size = {
  lua = "number", arg = "SIZE", doc = "size in bytes, such as `64MB`", range = true, min = 0,
  parse = function(text)
    local digits, unit = text:upper():match("^(%d+)(%u*)$")
    if not digits then return nil, "is not a size: expected bytes or a unit, such as 1024 or 64MB" end ---@cast unit -?
    local factor = SIZES[unit] or SIZES[unit:match("^([KMGT])I?B?$")]
    if not factor then return nil, ("is not a size: unknown unit '%s'; expected KB, MB, GB or TB"):format(unit) end
    local value = tonumber(digits) * factor
    if value > LARGEST then return nil, "is too large a size" end
    return value
  end,
  show = function(value)
    for _, unit in ipairs { "T", "G", "M", "K" } do
      if value > 0 and value % SIZES[unit] == 0 then return show_number(value / SIZES[unit]) .. unit .. "B" end
    end
    return show_number(value)
  end,
}

types.onoff = {
  lua = "boolean", arg = "on|off", doc = "`on` or `off`",
  parse = function(text)
    if text == "on" then return true end
    if text == "off" then return false end
    return nil, "is neither 'on' nor 'off'"
  end,
  show = function(value) return value and "on" or "off" end,
}

types.enum = {
  lua = "string", arg = "WORD", doc = "one of the words",
  parse = function(text, spec)
    local wanted = spec.nocase and text:lower() or text
    for _, value in ipairs(spec.values) do
      if wanted == (spec.nocase and value:lower() or value) then return value end
    end
    return nil, "is not one of: " .. table.concat(spec.values, ", ") .. words.suggest(text, spec.values)
  end,
}

types.name = { lua = "string", arg = "NAME", doc = "domain name", parse = zone.name }

types.zone = { lua = "string", arg = "ZONE", doc = "zone, or network in CIDR form", many = true, parse = zone.expand }

types.ip = {
  lua = "string", arg = "IP", doc = "IP address",
  parse = function(text, spec)
    local value, family = address.ip(text)
    if not value then return nil, "is not an IP address" end
    if spec.family and family ~= spec.family then return nil, ("is not an IPv%d address"):format(spec.family) end
    return value
  end,
}

types.cidr = {
  lua = "string", arg = "NETWORK", doc = "network in CIDR form",
  parse = function(text, spec)
    local bytes, bits = address.prefix(text)
    if not bytes and spec.bare then
      local _, found = address.bytes(text)
      bytes, bits = found, found and #found * 8
    end
    if not bytes then
      return nil, spec.bare and "is neither a network nor an IP address: expected 192.0.2.0/24 or 192.0.2.1"
        or "is not a network: expected an address and its mask bits, such as 192.0.2.0/24"
    end
    if spec.family and #bytes ~= (spec.family == 4 and 4 or 16) then
      return nil, ("is not an IPv%d network"):format(spec.family)
    end
    return ("%s/%d"):format(address.text(bytes), bits)
  end,
}

types.addr = {
  lua = "string", arg = "IP[:PORT]", doc = "IP address with an optional port",
  parse = function(text, spec)
    local host, digits = address.split(text)
    -- "fe80::1%eth0": the interface stays with the address.
    local plain, scope = (host or ""):match("^([^%%]*)(.*)$") ---@cast plain -?
    local value, family = address.ip(plain)
    if not value or scope == "%" or (scope ~= "" and family == 4) then
      return nil, "is not an IP address, alone or with a port"
    end
    if spec.family and family ~= spec.family then return nil, ("is not an IPv%d address"):format(spec.family) end
    local port = digits and address.port(digits)
    if digits and not port then return nil, ("has no valid port: '%s'"):format(digits) end
    if not port and not spec.port then return nil, "has no port: expected IP:PORT" end
    return address.join(value .. scope, port or spec.port)
  end,
}

types.listen = {
  lua = "string", arg = "[HOST]:PORT", doc = "address to listen on, such as `:8080` or `127.0.0.1:8080`",
  parse = function(text, spec)
    local host, digits = address.split(text)
    if not host or host:find("[%s%z/]") then return nil, "is not an address to listen on: expected [HOST]:PORT" end
    local port = digits and address.port(digits) or not digits and spec.port
    if not port then return nil, "has no valid port: expected [HOST]:PORT" end
    return address.join(address.ip(host) or host, port)
  end,
}

types.regex = {
  lua = "string", arg = "REGEX", doc = "regular expression",
  parse = function(text)
    if #text > 10000 then return nil, "is too long a regular expression: expected at most 10000 bytes" end
    -- Loaded with the first one: PCRE2 is not needed to read the other types.
    local compiled, why = require("lunadns.regex").compile(text)
    if not compiled then return nil, "is not a regular expression: " .. why end
    return text
  end,
}

--- A type whose values are registered names: the value is the number.
local function registered(names, what, prefix, top, arg)
  local by_number = {}
  for name, value in pairs(names) do
    -- 16 is BADVERS in a reply and BADSIG in TSIG; the reply is what options speak of.
    if name ~= "BADSIG" then by_number[value] = name end
  end
  return {
    lua = "number", arg = arg, doc = what,
    parse = function(text)
      local upper = text:upper()
      local value = names[upper]
      if value then return value end
      local digits = upper:match("^" .. prefix .. "(%d%d?%d?%d?%d?)$")
      if digits and tonumber(digits) <= top then return tonumber(digits) end
      return nil, ("is not a DNS %s"):format(what) .. words.suggest(upper, names)
    end,
    show = function(value) return by_number[value] or prefix .. show_number(value) end,
  }
end

types.rrtype = registered(registry.rrtypes, "record type", "TYPE", 65535, "TYPE")
types.class = registered(registry.classes, "class", "CLASS", 65535, "CLASS")
types.rcode = registered(registry.rcodes, "response code", "", 4095, "RCODE")

--- Drops "." and empty parts and resolves "..", as Go's filepath.Join does for `root`.
local function clean(path)
  local parts, absolute = {}, path:sub(1, 1) == "/"
  for part in path:gmatch("[^/]+") do
    if part == ".." and #parts > 0 and parts[#parts] ~= ".." then
      parts[#parts] = nil
    elseif part ~= "." and not (part == ".." and absolute) then
      parts[#parts + 1] = part
    end
  end
  local joined = (absolute and "/" or "") .. table.concat(parts, "/")
  return joined == "" and "." or joined
end

types.file = {
  lua = "string", arg = "FILE", doc = "path; relative to `root` when the block has one",
  parse = function(text, _, ctx)
    if text == "" then return nil, "is not a path: it is empty" end
    if text:find("%z") then return nil, "is not a path: it has a NUL byte" end
    local root = ctx.root
    local path = text
    if text:sub(1, 1) ~= "/" and root and root ~= "" then path = clean(root .. "/" .. text) end
    if ctx.watch then ctx.watch(path) end
    return path
  end,
}

return types
