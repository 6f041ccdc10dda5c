--- From a directive's tokens to its conf, by a compiled schema.
-- Errors travel as thrown tables { message } up to `parse.run`; they never leave this file.

local compile = require "lunadns.options.compile"
local usage = require "lunadns.options.usage"
local words = require "lunadns.options.words"

---@class LunaToken
---@field text string
---@field file? string
---@field line? integer
---@field quoted? boolean

---@class LunaEntry
---@field name LunaToken
---@field args LunaToken[]
---@field block? LunaEntry[]

---@class LunaRun one directive as the Corefile has it
---@field args LunaToken[]
---@field block? LunaEntry[]
---@field file? string
---@field line? integer

---@class LunaOptionContext
---@field zones? string[] the server block's zones
---@field root? string the `root` plugin's directory
---@field file? string the Corefile's path
---@field watch? fun(path: string) told of every path that an option names

local parse = {}

-- conf -> where each of its values stands, for errors that only `setup` finds.
local places = setmetatable({}, { __mode = "k" })

local function place(state, at)
  local run = state.run
  local file = at and at.file or run.file or state.ctx.file or "Corefile"
  local line = at and at.line or run.line
  return line and ("%s:%d"):format(file, line) or file
end

--- Throws a located error. `path` is the option's place in the block ("address"), or nil.
local function throw(state, at, path, text)
  local prefix = path and path ~= "" and path .. ": " or ""
  error({ message = words.printable(("%s: %s: %s%s"):format(place(state, at), state.name, prefix, text)) }, 0)
end

local function copy(value)
  if type(value) ~= "table" then return value end
  local out = {}
  for k, v in pairs(value) do out[k] = copy(v) end
  return out
end

--- Checks a number against its limits.
local function in_range(param, value)
  local low, high = param.min, param.max
  if not param.kind.range or ((not low or value >= low) and (not high or value <= high)) then return true end
  local show = param.kind.show
  local expected
  if low and high then
    expected = ("%s to %s"):format(show(low), show(high))
    if param.typename == "percent" then expected = ("%d to %d"):format(low, high) end
  else
    expected = low and "at least " .. show(low) or "at most " .. show(high)
  end
  local shown = param.typename == "percent" and ("%d"):format(value) or show(value)
  return false, ("%s is out of range: expected %s"):format(shown, expected)
end

--- Reads one token.
---@return any value nil when the token is wrong
---@return string? why the complete message
---@return boolean? mismatch the token is not of the type at all (rather than out of range)
local function read(state, param, token)
  local value, why = param.kind.parse(token.text, param, state.ctx)
  if value == nil then return nil, words.quote(token.text) .. " " .. why, true end
  local fits, range = in_range(param, value)
  if not fits then return nil, range end
  return value
end

local function count_error(state, at, owner, after)
  local text = ("Wrong argument count or unexpected line ending after '%s'"):format(after.text)
  local expected = usage.line(owner)
  throw(state, at or after, nil, expected == "" and text or ("%s; expected: %s"):format(text, expected))
end

local function read_rest(state, param, path, tokens, first, last)
  local values = {}
  for i = first, last do
    local value, why = read(state, param, tokens[i])
    if value == nil then throw(state, tokens[i], path, why) end
    if param.kind.many then
      for _, one in ipairs(value) do values[#values + 1] = one end
    else
      values[#values + 1] = value
    end
  end
  return values
end

--- Gives `fail(text, token?)` and `value(spec, token)` to the functions a plugin brings.
local function helpers(state, at, path)
  local function fail(text, token) throw(state, token or at, nil, tostring(text)) end
  local function value(spec, token)
    local param = compile.argument(type(spec) == "table" and spec or { type = spec }, state.name)
    if not token then throw(state, at, path, "an argument is missing: expected " .. param.kind.doc:gsub("`", "")) end
    local result, why = read(state, param, token)
    if result == nil then throw(state, token, path, why) end
    return result
  end
  return fail, value
end

--- Reads a row of arguments into `into`.
---@param owner table what the arguments belong to, for the expected form
---@param head LunaToken the option's (or directive's) name
local function read_row(state, owner, head, tokens, into, path)
  local params = owner.params
  local after, n, at = {}, #tokens, 1
  local needed = 0
  for i = #params, 1, -1 do
    after[i] = needed
    local param = params[i]
    needed = needed + (param.rest and (param.min_args or 0) or param.optional and 0 or 1)
  end
  for i, param in ipairs(params) do
    local began = at
    -- An option's only argument is named by the option itself.
    local where = param.name and owner.shape ~= "record" and (path and path .. ": " or "") .. param.name or path
    local key = param.name or 1
    local left = n - at + 1 - after[i]
    if param.rest then
      local count = math.max(left, 0) --[[@as integer]]
      if count < (param.min_args or 0) then count_error(state, nil, owner, tokens[n] or head) end
      if param.max_args and count > param.max_args then
        throw(state, tokens[at + param.max_args], where,
          ("too many arguments: %d, expected at most %d"):format(count, param.max_args))
      end
      if count == 0 and param.default ~= nil then
        into[key] = copy(param.default)
      elseif param.parse then
        local run = { name = head, args = {} }
        for k = at, at + count - 1 do run.args[#run.args + 1] = tokens[k] end
        into[key] = param.parse(run, helpers(state, tokens[at] or head, where))
      elseif count == 0 and param.kind.many and owner.directive and state.ctx.zones then
        into[key] = copy(state.ctx.zones)
      else
        into[key] = read_rest(state, param, where, tokens, at, at + count - 1)
      end
      at = at + count
    elseif left < 1 then
      if not param.optional then count_error(state, nil, owner, tokens[n] or head) end
      into[key] = copy(param.default)
    else
      local value, why, mismatch = read(state, param, tokens[at])
      if value == nil and param.skip and mismatch then
        into[key] = copy(param.default)
      elseif value == nil then
        throw(state, tokens[at], where, why)
      else
        if param.kind.many and #value > 1 then
          state.warnings[#state.warnings + 1] = words.printable(
            ("%s: %s: %s: Unsupported CIDR notation: %s expands to multiple zones. Using only '%s'."):format(
              place(state, tokens[at]), state.name, where, words.quote(tokens[at].text), value[1]))
        end
        into[key] = param.kind.many and value[1] or value
        at = at + 1
      end
    end
    if param.check and at > began then
      state.checks[#state.checks + 1] = { param.check, into[key], tokens[at - 1] or head, where }
    end
  end
  if at <= n then count_error(state, nil, owner, tokens[at]) end
end

local read_body

--- Reads one line of the block.
---@return any value
local function read_option(state, option, entry, path)
  local shape = option.shape
  if shape == "ignored" then return nil end
  if shape == "parse" then return option.parse(entry, helpers(state, entry.name, path)) end
  if shape == "block" then return read_body(state, option.block, option, entry.name, entry.args, entry.block, path) end
  if entry.block then throw(state, entry.name, path, "takes no block") end
  local into = {}
  read_row(state, option, entry.name, entry.args, into, path)
  if shape == "flag" then return true end
  if shape == "record" then return into end
  if into[1] == nil then return copy(option.empty) end
  if option.shape == "list" and #entry.args == 0 and option.empty ~= nil then return copy(option.empty) end
  return into[1]
end

--- Stores a value by the option's rule for repeated lines.
local function store(state, option, entry, conf, value, seen, path)
  local name = option.name
  if seen[name] and option.once then
    throw(state, entry.name, path, ("can only be given once; first at %s"):format(place(state, seen[name])))
  end
  if option.repeatable then
    if not seen[name] then conf[name] = {} end
    local list = conf[name]
    if option.repeatable == "append" then
      for _, one in ipairs(type(value) == "table" and value or { value }) do list[#list + 1] = one end
    else
      list[#list + 1] = value
    end
  else
    conf[name] = value
  end
  seen[name] = entry.name
end

--- Reads arguments and block of a directive or of a nested block.
---@param owner table names the form in count errors
function read_body(state, body, owner, head, args, block, path)
  local conf, seen, own_checks = {}, {}, state.checks
  local checks = {}
  state.checks = checks
  for _, option in ipairs(body.sorted) do conf[option.name] = copy(option.default) end
  read_row(state, { params = body.params, name = owner.name, directive = owner.directive }, head, args, conf, path)
  for _, param in ipairs(body.params) do seen[param.name] = args[1] or head end
  for _, entry in ipairs(block or {}) do
    state.current = entry.name
    local name = entry.name.text
    local option = body.options[name]
    local at = path and ("%s: %s"):format(path, name) or name
    if option then
      local value = read_option(state, option, entry, at)
      store(state, option, entry, conf, value, seen, at)
      if option.check then checks[#checks + 1] = { option.check, value, entry.name, at } end
      if option.deprecated then
        state.warnings[#state.warnings + 1] = words.printable(
          ("%s: %s: %s is deprecated: %s"):format(place(state, entry.name), state.name, at, option.deprecated))
      end
    elseif not body.other or body.other(entry, conf, helpers(state, entry.name, path)) == false then
      local hint = next(body.options) == nil and not body.other and ("; %s takes no options"):format(owner.name)
        or words.suggest(name, usage.current(body))
      throw(state, entry.name, path, ("unknown property %s%s"):format(words.quote(name), hint))
    end
  end
  state.current = nil
  for _, option in ipairs(body.sorted) do
    if option.required and not seen[option.name] then
      throw(state, head, path, ("%s is required; expected: %s"):format(option.name, usage.line(option)))
    end
  end
  for _, check in ipairs(checks) do
    state.current = check[3]
    local good, why = check[1](check[2], conf)
    if not good then throw(state, check[3], check[4], tostring(why or "is not valid")) end
  end
  state.current, state.checks = nil, own_checks
  places[conf] = { state = state, seen = seen, head = head }
  return conf
end

--- Parses one directive.
---@param schema table
---@param run LunaRun
---@param ctx? LunaOptionContext
---@return table? conf nil on a wrong directive
---@return string? err one line: "FILE:LINE: PLUGIN: ..."
---@return string[]? warnings located, one line each; with conf only
function parse.run(schema, run, ctx)
  local state = { name = schema.name, run = run, ctx = ctx or {}, checks = {}, warnings = {} }
  local head = { text = schema.name, file = run.file, line = run.line }
  ---@type boolean, any
  local good, result = pcall(read_body, state, schema.body, { name = schema.name, directive = true }, head,
    run.args or {}, run.block, nil)
  if good then return result, nil, state.warnings end
  if type(result) == "table" and result.message then return nil, result.message end
  -- A fault in a function the plugin brought.
  return nil, words.printable(("%s: %s: error in the plugin's options: %s"):format(
    place(state, state.current), schema.name, tostring(result)))
end

--- Where a value of a conf stands in the Corefile.
---@param conf table what `parse.run` gave
---@param name? string an option's name; without it, or when it was not given, the directive's own place
---@return string "FILE:LINE"
function parse.where(conf, name)
  local known = places[conf]
  if not known then return "Corefile" end
  return place(known.state, name and known.seen[name] or known.head)
end

return parse
