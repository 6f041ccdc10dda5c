--- From a plugin's `options` table to the form the parser and the help read.
-- Everything a plugin's author can get wrong is found here, once, when the plugin is loaded.

local types = require "lunadns.options.types"
local words = require "lunadns.options.words"

--- One argument: a positional one, one of `args`, or the only one of an option.
---@class LunaArgument
---@field [1]? string its name (positional arguments and `args`)
---@field type? string see options/types.lua; "list" is text with `rest` (or the type named in `of`)
---@field required? boolean positional: must be given
---@field optional? boolean of `args`: may be left out
---@field skip? boolean left out when the token is not of this type; the next argument gets the token
---@field rest? boolean takes all remaining tokens; the value is a list
---@field min_args? integer with `rest`: how many at least
---@field max_args? integer with `rest`: how many at most
---@field default? any a value, or the text a user would write
---@field min? number|string lowest value (or the text a user would write)
---@field max? number|string
---@field values? string[] the words of an enum
---@field nocase? boolean enum: upper and lower case are the same
---@field bare? string|boolean duration: the unit of a number without one; cidr: an address is a network of one
---@field port? integer addr, listen: the port when none is given
---@field family? integer ip, cidr, addr: 4 or 6
---@field of? string type of a list's elements
---@field doc? string
---@field check? LunaCheck runs when all options are read; not for defaults
---@field parse? LunaOwnParser own reading of the tokens (options, and positional arguments with `rest`)

---@alias LunaCheck fun(value: any, conf: table): boolean?, string? true, or nil and what is wrong

--- Raises a located error with exactly this text, at the token or else at the option.
---@alias LunaFail fun(text: string, token?: LunaToken)

--- Reads one token as a type ("duration", or { type = "int", min = 1 }); a wrong one raises.
---@alias LunaValue fun(spec: string|LunaArgument, token?: LunaToken): any

---@alias LunaOwnParser fun(entry: LunaEntry, fail: LunaFail, value: LunaValue): any

--- One option of the block.
---@class LunaOption: LunaArgument
---@field arg? string the argument's name in help and messages
---@field args? LunaArgument[] several arguments; the value is a table keyed by their names
---@field empty? any the value when the option stands without its argument
---@field repeatable? boolean|"append" the value is an array of all lines' values; "append" joins their lists into one
---@field once? boolean a second line with the option is an error (otherwise the last one counts, as in CoreDNS)
---@field deprecated? string accepted with a warning: "use x"
---@field block? table options of a nested block; the value is their conf
---@field other? LunaOtherLine with `block`: its lines that are no option

--- Takes a line whose first token names no option; false says that it is unknown to it too.
---@alias LunaOtherLine fun(entry: LunaEntry, conf: table, fail: LunaFail, value: LunaValue): boolean?

local compile = {}

local ARGUMENT_FIELDS = {
  [1] = true, type = true, required = true, optional = true, skip = true, rest = true, min_args = true,
  max_args = true, default = true, min = true, max = true, values = true, nocase = true, bare = true, port = true,
  family = true, of = true, doc = true, check = true, parse = true,
}
local OPTION_FIELDS = {
  arg = true, args = true, empty = true, repeatable = true, once = true, deprecated = true, block = true, other = true,
}
for field in pairs(ARGUMENT_FIELDS) do
  if field ~= 1 and field ~= "optional" and field ~= "skip" then OPTION_FIELDS[field] = true end
end

local FUNCTION_FIELDS = { "check", "parse", "other" }
local NUMBER_FIELDS = { "min_args", "max_args", "port", "family" }

local function complain(where, text, ...) error(("%s: %s"):format(where, text:format(...)), 0) end

local function check_fields(spec, known, where)
  if type(spec) ~= "table" then complain(where, "expected a table, found a %s", type(spec)) end
  for field in pairs(spec) do
    if not known[field] then
      complain(where, "unknown field '%s'%s", tostring(field), words.suggest(tostring(field), known))
    end
  end
  for _, field in ipairs(FUNCTION_FIELDS) do
    if spec[field] ~= nil and type(spec[field]) ~= "function" then complain(where, "'%s' must be a function", field) end
  end
  for _, field in ipairs(NUMBER_FIELDS) do
    if spec[field] ~= nil and type(spec[field]) ~= "number" then complain(where, "'%s' must be a number", field) end
  end
  if spec.doc ~= nil and type(spec.doc) ~= "string" then complain(where, "'doc' must be text") end
end

--- A default or a limit as a value: text is read as the user's would be.
local function literal(param, field, given, where)
  local kind = param.kind
  local value = given
  if type(given) == "string" and kind.parse ~= types.file.parse then
    local why
    value, why = kind.parse(given, param, {})
    if value == nil then complain(where, "'%s': '%s' %s", field, given, why) end
    if kind.many then value = value[1] end
  end
  if type(value) ~= kind.lua then
    complain(where, "'%s' must be a %s, found a %s", field, kind.lua, type(value))
  end
  return value
end

--- Compiles one argument.
---@param spec LunaArgument
---@param where string for messages
---@return table
local function argument(spec, where)
  local typename, rest = spec.type, spec.rest
  if typename == "list" then
    typename, rest = spec.of or "string", true
  elseif spec.of ~= nil then
    complain(where, "'of' goes with type = \"list\" only")
  end
  if typename == nil then typename = spec.values and "enum" or "string" end
  local kind = types[typename]
  if not kind then
    complain(where, "unknown type '%s'%s", tostring(typename), words.suggest(tostring(typename), types))
  end
  local param = {}
  for field, value in pairs(spec) do
    if field ~= 1 then param[field] = value end
  end
  param.kind, param.typename, param.rest = kind, typename, rest or nil
  if typename == "enum" then
    if type(spec.values) ~= "table" or #spec.values == 0 then complain(where, "an enum needs 'values'") end
  elseif spec.values ~= nil then
    complain(where, "'values' goes with type = \"enum\" only")
  end
  if (spec.min ~= nil or spec.max ~= nil) and not kind.range then
    complain(where, "'min' and 'max' do not go with type = \"%s\"", typename)
  end
  if (spec.min_args or spec.max_args) and not rest then
    complain(where, "'min_args' and 'max_args' go with 'rest' only")
  end
  if typename == "duration" and spec.bare ~= nil and not types.duration.parse("1" .. tostring(spec.bare), {}, {}) then
    complain(where, "'bare' must be a unit of time, such as \"s\"")
  end
  param.min = spec.min ~= nil and literal(param, "min", spec.min, where) or kind.min
  param.max = spec.max ~= nil and literal(param, "max", spec.max, where) or kind.max
  if param.min and param.max and param.min > param.max then complain(where, "'min' is above 'max'") end
  return param
end

--- How an enum stands in the form of a line: "success|denial"; nil for other types and long lists.
local function choices(param)
  return param.typename == "enum" and #param.values <= 5 and table.concat(param.values, "|") or nil
end

--- Compiles the default of an argument or an option.
local function default(param, given, where, list)
  if given == nil then return nil end
  if list or param.rest then
    if type(given) ~= "table" then complain(where, "'default' must be a list, found a %s", type(given)) end
    if list then return given end
    local values = {}
    for i, value in ipairs(given) do values[i] = literal(param, "default", value, where) end
    return values
  end
  local value = literal(param, "default", given, where)
  if (param.min and value < param.min) or (param.max and value > param.max) then
    complain(where, "'default' is out of its own range")
  end
  return value
end

--- Compiles a row of arguments.
---@param specs LunaArgument[]
---@param positional boolean true: left out unless `required`; false: required unless `optional`
---@param where string
---@return table[]
local function row(specs, positional, where)
  local params, seen, rest = {}, {}, nil
  for i, spec in ipairs(specs) do
    local at = ("%s: argument %d"):format(where, i)
    check_fields(spec, ARGUMENT_FIELDS, at)
    local name = spec[1]
    if type(name) ~= "string" then complain(at, "needs a name: { \"zone\", type = \"zone\" }") end ---@cast name string
    at = ("%s: %s"):format(where, name)
    if seen[name] then complain(at, "the name is given twice") end
    seen[name] = true
    local param = argument(spec, at)
    param.name = name
    param.label = choices(param) or name:upper()
    if positional then
      if spec.optional ~= nil then complain(at, "positional arguments are optional unless 'required'") end
      param.optional = not spec.required
    else
      if spec.required ~= nil then complain(at, "an option's arguments are required unless 'optional'") end
      param.optional = (spec.optional or spec.skip or spec.default ~= nil) and true or false
    end
    if spec.required and spec.default ~= nil then complain(at, "'required' and 'default' exclude each other") end
    if param.rest and rest then complain(at, "only one argument can be 'rest'") end
    if param.rest then
      rest = name
      param.min_args = param.min_args or (positional and spec.required and 1 or nil)
    end
    if spec.parse and not param.rest then complain(at, "'parse' of an argument goes with 'rest' only") end
    if not spec.parse then param.default = default(param, spec.default, at) end
    params[i] = param
  end
  return params
end

--- Compiles one option of the block.
---@param name string
---@param spec LunaOption
---@param where string
---@return table
local function option(name, spec, where)
  where = ("%s: %s"):format(where, name)
  check_fields(spec, OPTION_FIELDS, where)
  local out = {
    name = name, doc = spec.doc, check = spec.check, required = spec.required, deprecated = spec.deprecated,
    repeatable = spec.repeatable, once = spec.once, empty = spec.empty, default = spec.default,
  }
  if spec.required and spec.default ~= nil then complain(where, "'required' and 'default' exclude each other") end
  if spec.deprecated ~= nil and type(spec.deprecated) ~= "string" then
    complain(where, "'deprecated' must be text, such as \"use x\"")
  end
  if spec.parse and (spec.block or spec.args) then complain(where, "'parse' excludes 'block' and 'args'") end
  if spec.block then
    out.shape = "block"
    out.block = compile.body(spec.block, spec.other, where)
    out.params = out.block.params
  elseif spec.other then
    complain(where, "'other' goes with 'block' only")
  elseif spec.parse then
    out.shape, out.parse, out.usage = "parse", spec.parse, spec.arg
    if spec.type and spec.type ~= "flag" then
      -- The type is for the default and the help.
      out.kind = argument(spec, where)
      out.default = default(out.kind, spec.default, where, spec.repeatable)
    end
  elseif spec.args then
    if type(spec.args) ~= "table" or #spec.args == 0 then complain(where, "'args' must list arguments") end
    if spec.type ~= nil then complain(where, "'type' and 'args' exclude each other") end
    out.shape, out.params = "record", row(spec.args, false, where)
  elseif spec.type == "flag" or (spec.type == nil and not spec.values) then
    if spec.type == nil then complain(where, "needs a 'type'") end
    out.shape, out.params = "flag", {}
    if spec.default == nil then out.default = false end
  elseif spec.type == "ignored" then
    out.shape = "ignored"
  else
    local param = argument(spec, where)
    param.check, param.default = nil, nil
    param.label = spec.arg or choices(param) or param.kind.arg
    param.optional = spec.empty ~= nil
    out.shape, out.params = param.rest and "list" or "value", { param }
    out.default = default(param, spec.default, where, spec.repeatable)
  end
  if spec.repeatable == "append" and out.shape ~= "list" and out.shape ~= "parse" then
    complain(where, "repeatable = \"append\" goes with 'rest' or 'parse'")
  end
  return out
end

--- Compiles an `options` table: a plugin's, or a nested block's.
---@param specs table<string|integer, LunaOption|LunaArgument>
---@param other? function
---@param where string
---@return table
function compile.body(specs, other, where)
  if type(specs) ~= "table" then complain(where, "expected a table, found a %s", type(specs)) end
  if other ~= nil and type(other) ~= "function" then complain(where, "'other' must be a function") end
  local body = { params = row(specs --[[@as LunaArgument[] ]], true, where), options = {}, sorted = {}, other = other }
  for name, spec in pairs(specs) do
    if type(name) == "string" then
      body.options[name] = option(name, spec --[[@as LunaOption]], where)
      body.sorted[#body.sorted + 1] = body.options[name]
    elseif type(name) ~= "number" or name < 1 or name > #specs or name % 1 ~= 0 then
      complain(where, "option names must be text, found '%s'", tostring(name))
    end
  end
  table.sort(body.sorted, function(a, b) return a.name < b.name end)
  for _, param in ipairs(body.params) do
    if body.options[param.name] then complain(where .. ": " .. param.name, "is both an argument and an option") end
  end
  return body
end

compile.argument = argument

return compile
