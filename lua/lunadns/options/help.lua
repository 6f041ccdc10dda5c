--- Help and reference pages, made from the same data as the parser.

local duration = require "lunadns.options.duration"
local usage = require "lunadns.options.usage"

local help = {}

--- A value as a user would write it.
local function shown(kind, value)
  if type(value) == "table" then
    local parts = {}
    for i, one in ipairs(value) do parts[i] = shown(kind, one) end
    return table.concat(parts, " ")
  end
  if kind and kind.show then return kind.show(value) end
  return tostring(value)
end

local function range(param)
  local kind, low, high = param.kind, param.min, param.max
  -- The type's own limits need no words.
  if low == kind.min then low = nil end
  if high == kind.max then high = nil end
  if not kind.range or not (low or high) then return nil end
  local show = kind.show or duration.text
  if low and high then return ("%s to %s"):format(show(low), show(high)) end
  return low and "At least " .. show(low) or "At most " .. show(high)
end

--- Everything that is to be said of an argument or option besides its form.
local function facts(item, param, default)
  local out = {}
  if item.doc and item.doc ~= "" then out[#out + 1] = (item.doc:gsub("%.?%s*$", "")) end
  if param and param.kind then
    if param.typename == "enum" and #param.values > 5 then
      out[#out + 1] = "One of: " .. table.concat(param.values, ", ")
    end
    out[#out + 1] = range(param)
  end
  if item.required then out[#out + 1] = "Required" end
  if item.repeatable then out[#out + 1] = "May be repeated" end
  if default ~= nil and default ~= false and not (type(default) == "table" and #default == 0) then
    out[#out + 1] = "Default: " .. shown(param and param.kind, default)
  end
  if item.deprecated then out[#out + 1] = "Deprecated: " .. item.deprecated end
  if item.shape == "ignored" then out[#out + 1] = "Accepted and ignored" end
  return out
end

local function sentence(parts) return #parts > 0 and table.concat(parts, ". ") .. "." or "" end

--- All lines of a body as rows { form, typename, default, text, depth }.
local function rows(body, depth, out)
  for _, param in ipairs(body.params) do
    out[#out + 1] = { form = usage.argument(param), kind = param, item = param, depth = depth, default = param.default }
  end
  for _, option in ipairs(body.sorted) do
    local only = option.kind or (option.shape == "value" or option.shape == "list") and option.params[1] or nil
    out[#out + 1] = {
      form = usage.line(option), kind = only, item = option, depth = depth, default = option.default, option = true,
    }
    if option.shape == "record" then
      for _, param in ipairs(option.params) do
        out[#out + 1] = {
          form = usage.argument(param), kind = param, item = param, depth = depth + 1, default = param.default,
        }
      end
    elseif option.block then
      rows(option.block, depth + 1, out)
    end
  end
  return out
end

local function form(schema)
  local lines = { usage.line { name = schema.name, params = schema.body.params } }
  local function block(body, indent)
    for _, option in ipairs(body.sorted) do
      if not option.deprecated and option.shape ~= "ignored" then
        lines[#lines + 1] = indent .. usage.line(option)
        if option.block and (#option.block.sorted > 0 or option.block.other) then
          lines[#lines] = lines[#lines] .. " {"
          block(option.block, indent .. "    ")
          lines[#lines + 1] = indent .. "}"
        end
      end
    end
  end
  local body = schema.body
  if #body.sorted > 0 or body.other then
    lines[1] = lines[1] .. " {"
    if body.other then lines[#lines + 1] = "    " .. (schema.other_form or "...") end
    block(body, "    ")
    lines[#lines + 1] = "}"
  end
  return lines
end

--- The form of the directive, with its block.
---@param schema table
---@return string
function help.form(schema) return table.concat(form(schema), "\n") .. "\n" end

--- The text of `lunadns -plugins NAME`.
---@param schema table
---@return string
function help.text(schema)
  local out = form(schema)
  if schema.doc then table.insert(out, 1, schema.doc .. "\n") end
  local list = rows(schema.body, 0, {})
  if #list == 0 then return table.concat(out, "\n") .. "\n" end
  local width = 0
  for _, line in ipairs(list) do
    local length = #line.form + line.depth * 2
    if length <= 32 then width = math.max(width, length) --[[@as integer]] end
  end
  out[#out + 1] = ""
  for _, line in ipairs(list) do
    local text = sentence(facts(line.item, line.kind, line.default))
    local left = ("  "):rep(line.depth + 1) .. line.form
    if text == "" then
      out[#out + 1] = left
    elseif #left - 2 > width then
      out[#out + 1] = left
      out[#out + 1] = (" "):rep(width + 4) .. text
    else
      out[#out + 1] = left .. (" "):rep(width + 4 - #left) .. text
    end
  end
  return table.concat(out, "\n") .. "\n"
end

local function cell(text) return (text:gsub("|", "\\|"):gsub("%s*\n%s*", " ")) end

--- A markdown table of arguments and options.
---@param schema table
---@return string
function help.reference(schema)
  local list = rows(schema.body, 0, {})
  if #list == 0 then return "This plugin takes no arguments and no options.\n" end
  local out = { "| option | type | default | description |", "|---|---|---|---|" }
  for _, line in ipairs(list) do
    local kind = line.kind and line.kind.kind
    local what = kind and (line.kind.rest and "list: " or "") .. kind.doc
      or (line.item.shape == "flag" or line.item.shape == "block") and line.item.shape or ""
    local default = ""
    if line.default ~= nil and line.default ~= false and type(line.default) ~= "table" then
      default = "`" .. shown(kind, line.default) .. "`"
    elseif type(line.default) == "table" and #line.default > 0 then
      default = "`" .. shown(kind, line.default) .. "`"
    end
    local parts = facts(line.item, line.kind, nil)
    out[#out + 1] = ("| %s`%s` | %s | %s | %s |"):format(("&nbsp;&nbsp;"):rep(line.depth), cell(line.form), cell(what),
      cell(default), cell(sentence(parts)))
  end
  return table.concat(out, "\n") .. "\n"
end

return help
