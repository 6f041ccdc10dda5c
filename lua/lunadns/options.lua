--- Options are data: one table in a plugin gives the parser of its directive, typed values, error
--- messages with file and line, help text and reference page.
--
--     local schema = options.compile("sinkhole", plugin.options)
--     local conf, err = schema:parse(run, { zones = { "example.org." }, root = nil, file = "Corefile" })
--
-- options/compile.lua lists the fields of an option, options/types.lua the types.

local compile = require "lunadns.options.compile"
local help = require "lunadns.options.help"
local parse = require "lunadns.options.parse"

local options = {}

---@class LunaSchema
---@field name string the directive
---@field doc? string what the plugin does, for help
---@field other_form? string how a line that is no option looks, for help
---@field body table
local Schema = {}
Schema.__index = Schema

--- Reads one directive. Never raises, whatever the tokens are.
---@param run LunaRun
---@param ctx? LunaOptionContext
---@return table? conf nil on a wrong directive
---@return string? err one line: "Corefile:7: sinkhole: address: 'banana' is not an IP address"
---@return string[]? warnings deprecated options, located; with conf only
function Schema:parse(run, ctx) return parse.run(self, run, ctx) end

--- Help for `lunadns -plugins NAME`.
---@return string
function Schema:help() return help.text(self) end

--- How the directive looks in a Corefile.
---@return string
function Schema:form() return help.form(self) end

--- Markdown table for the reference page.
---@return string
function Schema:reference() return help.reference(self) end

--- Where an option of a conf stands: for errors that `setup` finds later.
---@param conf table
---@param name? string
---@return string place "Corefile:7"
function options.where(conf, name) return parse.where(conf, name) end

--- Compiles a plugin's `options` table. Raises a message for the plugin's author when it is wrong.
---@param name string the directive
---@param specs? table<string|integer, LunaOption|LunaArgument>
---@param other? LunaOtherLine
---@param about? { doc?: string, other?: string } what the plugin does; how an `other` line looks
---@return LunaSchema
function options.compile(name, specs, other, about)
  about = about or {}
  local body = compile.body(specs or {}, other, ("plugin %s: options"):format(name))
  return setmetatable({ name = name, body = body, doc = about.doc, other_form = about.other }, Schema)
end

return options
