--- Reads metrics out of the text of a scrape.
local ffi = require "ffi"
local C = require("lunadns.boundary").C

local metrics = {}

--- Prometheus text of this process.
---@return string
function metrics.text()
  local text = C.luna_metrics_text(ffi.new "size_t[1]")
  if text == nil then error("no memory for the metrics", 0) end
  local out = ffi.string(text)
  C.free(text)
  return out
end

--- Sum of the series of a name that have all of these labels, and the kind of the metric.
local function sum(text, name, wanted)
  local total
  local kind = text:match("# TYPE " .. name .. " (%a+)") or text:match("# TYPE " .. name:gsub("_%a+$", "") .. " (%a+)")
  for own, value in ("\n" .. text):gmatch("\n" .. name .. "(%b{}) ([^\n]+)") do
    local fits = true
    for _, label in ipairs(wanted) do
      if not own:find("[{,]" .. label:gsub("%p", "%%%0")) then fits = false end
    end
    if fits then total = (total or 0) + tonumber(value) end
  end
  if #wanted == 0 then
    local value = ("\n" .. text):match("\n" .. name .. " ([^\n]+)")
    if value then total = (total or 0) + tonumber(value) end
  end
  return total, kind
end

--- See Server:metric.
---@param text string
---@param before string text when the server began
---@param wanted string name, perhaps with labels in braces
---@param labels? table<string, string>
---@return number|nil
function metrics.value(text, before, wanted, labels)
  local name, rest = wanted:match "^([%w_:]+)(.*)$"
  if not name then error(("'%s' is not the name of a metric"):format(wanted), 3) end
  local list = {} ---@cast rest -?
  for label in rest:gmatch '[%w_]+="[^"]*"' do list[#list + 1] = label end
  for label, value in pairs(labels or {}) do list[#list + 1] = ('%s="%s"'):format(label, value) end
  local value, kind = sum(text, name, list)
  if not value or kind == "gauge" then return value end
  return value - (sum(before, name, list) or 0)
end

return metrics
