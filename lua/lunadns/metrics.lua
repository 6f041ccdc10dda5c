--- Counters, gauges and histograms of plugins. With labels whose values are known when they are declared, one is a slot number;
--- with others it keeps the slots of the values that it has met.
local ffi = require "ffi"
local boundary = require "lunadns.boundary"
local C = boundary.C

local metrics = {}

ffi.cdef [[
typedef struct { luna_state *state; int slot; } luna_counter;
typedef struct { luna_state *state; int slot; } luna_histogram;
typedef struct { luna_state *state; int slot; } luna_gauge;
]]

---@class LunaCounter
---@field inc fun(self: LunaCounter, ...: string|number)
---@field add fun(self: LunaCounter, n: integer, ...: string|number)

local function add(state, slot, n)
  local page = state.metrics
  page[slot] = page[slot] + n
end

local counter_t = ffi.metatype("luna_counter", {
  __index = {
    inc = function(self) add(self.state, self.slot, 1) end,
    add = function(self, n) add(self.state, self.slot, n) end,
  },
})

---@class LunaHistogram
---@field observe fun(self: LunaHistogram, value: number, ...: string|number) its unit is the declaration's

local histogram_t = ffi.metatype("luna_histogram", {
  __index = {
    observe = function(self, value) C.luna_observe(self.state.metrics, self.slot, value) end,
  },
})

---@class LunaGauge
---@field set fun(self: LunaGauge, value: number, ...: string|number)
---@field add fun(self: LunaGauge, n: number, ...: string|number)
---@field inc fun(self: LunaGauge, ...: string|number)
---@field dec fun(self: LunaGauge, ...: string|number)

-- A gauge has no page of its own to take the writes of a warm-up.
local function gauge_set(state, slot, value)
  if state.dry == 0 then C.luna_gauge_set(slot, value) end
end
local function gauge_add(state, slot, n)
  if state.dry == 0 then C.luna_gauge_add(slot, n) end
end

local gauge_t = ffi.metatype("luna_gauge", {
  __index = {
    set = function(self, value) gauge_set(self.state, self.slot, value) end,
    add = function(self, n) gauge_add(self.state, self.slot, n) end,
    inc = function(self) gauge_add(self.state, self.slot, 1) end,
    dec = function(self) gauge_add(self.state, self.slot, -1) end,
  },
})

-- ---- labels whose values come with each call

local MAX, LATER_MAX = 100, 3
local VALUE_MAX = 256 -- octets

local function text_of(value, name)
  if value == nil then error(("metric %s: a label's value is missing"):format(name), 4) end
  return (tostring(value):sub(1, VALUE_MAX):gsub("\31", "?"))
end

--- Puts a slot where look-ups find it: slots[a][b][c].
local function remember(slots, given, slot)
  for i = 1, #given - 1 do
    local next = slots[given[i]]
    if not next then
      next = {}
      slots[given[i]] = next
    end
    slots = next
  end
  slots[given[#given]] = slot
end

--- The same for the texts of a series. A number stands for its text, so that one may come as either.
local function remember_each(slots, texts, slot, i)
  local number = tonumber(texts[i])
  for _, key in ipairs { texts[i], tostring(number) == texts[i] and number or nil } do
    if i == #texts then
      slots[key] = slot
    else
      slots[key] = slots[key] or {}
      remember_each(slots[key], texts, slot, i + 1)
    end
  end
end

--- The values of a series that another worker has made, nil when its other labels are not ours.
local function values_of(self, text)
  local found, i = {}, 0
  for value in text:gmatch "([^\31]*)\31" do
    i = i + 1
    if self.parts[i] == false then found[#found + 1] = value elseif self.parts[i] ~= value then return nil end
  end
  return found
end

--- No further series: the table of those there are is complete from now on, and all other values are one.
local function close(self)
  self.full = true
  local buffer = ffi.new("char[?]", 8192)
  for index = 0, math.huge do
    local slot = C.luna_series_at(self.family, index, buffer, 8192)
    if slot == 0 then break end
    local given = slot > 0 and values_of(self, ffi.string(buffer))
    if given then remember_each(self.slots, given, slot, 1) end
  end
  local others = {}
  for i, part in ipairs(self.parts) do others[i] = (part or "other") .. "\31" end
  self.overflow = math.max(C.luna_series(self.family, table.concat(others)), 0)
  if tonumber(C.luna_shared_swap(self.told, 1)) == 0 then
    self.server:log("warning", "metric %s has %d series, its bound: other label values are counted as \"other\" from now on",
      self.name, self.max)
  end
end

--- The slot of values that were not met before.
local function find(self, ...)
  if self.full then
    -- What is neither text nor number may stand for a text that is known.
    local slots = self.slots
    for i = 1, self.later do slots = type(slots) == "table" and slots[text_of((select(i, ...)), self.name)] or nil end
    return slots or self.overflow
  end
  local given, texts, later = {}, {}, 0
  for i, part in ipairs(self.parts) do
    if part == false then
      later = later + 1
      given[later] = select(later, ...)
      part = text_of(given[later], self.name)
    end
    texts[i] = part .. "\31"
  end
  local slot = C.luna_series_within(self.family, table.concat(texts), self.max)
  if slot > 0 then
    remember(self.slots, given, slot)
    return slot
  end
  close(self)
  return self.overflow
end

local function plain(value) return value == nil or type(value) == "string" or type(value) == "number" end

--- What has no slot: beyond the bound without another look, since every text and number that has one is known then.
local function other(self, a, b, c)
  if self.full and a ~= nil and plain(a) and plain(b) and plain(c) then return self.overflow end
  return find(self, a, b, c)
end

--- Look-ups by how many values come with a call.
local slot_of = {
  function(self, a) return self.slots[a] or other(self, a) end,
  function(self, a, b)
    local slots = self.slots[a]
    return slots and slots[b] or other(self, a, b)
  end,
  function(self, a, b, c)
    local slots = self.slots[a]
    slots = slots and slots[b]
    return slots and slots[c] or other(self, a, b, c)
  end,
}

local Later = { counter = {}, gauge = {}, histogram = {} } ---@type table<string, table>
for n = 1, LATER_MAX do
  local slot = slot_of[n]
  Later.counter[n] = {
    inc = function(self, a, b, c) add(self.state, slot(self, a, b, c), 1) end,
    add = function(self, count, a, b, c) add(self.state, slot(self, a, b, c), count) end,
  }
  Later.gauge[n] = {
    set = function(self, value, a, b, c) gauge_set(self.state, slot(self, a, b, c), value) end,
    add = function(self, count, a, b, c) gauge_add(self.state, slot(self, a, b, c), count) end,
    inc = function(self, a, b, c) gauge_add(self.state, slot(self, a, b, c), 1) end,
    dec = function(self, a, b, c) gauge_add(self.state, slot(self, a, b, c), -1) end,
  }
  Later.histogram[n] = {
    observe = function(self, value, a, b, c) C.luna_observe(self.state.metrics, slot(self, a, b, c), value) end,
  }
  for _, kind in pairs(Later) do kind[n] = { __index = kind[n] } end
end

-- ---- declaring

--- Label names, and by label its value, false when that comes with each call.
local function read_labels(full, labels)
  local names, parts, later = {}, {}, 0
  for i, label in ipairs(labels or {}) do
    if type(label) == "string" then
      names[i], parts[i], later = label, false, later + 1
    elseif type(label) == "table" and type(label[1]) == "string" and label[2] ~= nil then
      names[i], parts[i] = label[1], tostring(label[2])
    else
      error(("metric %s: label %d must be a name, or { name, value }"):format(full, i), 4)
    end
  end
  if later > LATER_MAX then
    error(("metric %s: %d labels whose values come later; at most %d can"):format(full, later, LATER_MAX), 4)
  end
  return names, parts, later
end

local function declare(server, kind, name, help, labels, buckets, unit)
  local full = name
  if not (name:find "^coredns_" or name:find "^lunadns_") then
    full = ("coredns_%s_%s"):format((server.name:gsub("%-", "_")), name)
  end
  local names, parts, later = read_labels(full, labels)
  local bounds = buckets and ffi.new("double[?]", #buckets, buckets)
  local number = C.luna_metric(full, help or "", kind, table.concat(names, ","), bounds, buckets and #buckets or 0, unit or 1)
  if number == C.LUNA_E_SPACE then error(("metric %s: too many metrics"):format(full), 3) end
  if number < 0 then
    error(("metric %s: a name, label or bucket that Prometheus does not take, or declared before with another kind or labels")
      :format(full), 3)
  end
  return full, number, parts, later
end

local function fixed(full, number, parts)
  local values = {}
  for i, part in ipairs(parts) do values[i] = part .. "\31" end
  local slot = C.luna_series(number, table.concat(values))
  if slot < 0 then error(("metric %s: too many series"):format(full), 3) end
  return slot
end

---@return any
local function with_later(server, class, full, number, parts, later, options)
  local told = C.luna_shared_counter("metric " .. full)
  if told == nil then error("out of memory", 0) end
  server:on_close(function() C.luna_shared_release(told) end)
  return setmetatable({
    server = server, state = server.state, name = full, family = number, parts = parts, later = later, slots = {},
    told = told, max = options and options.max or MAX, full = false, overflow = 0,
  }, class[later])
end

---@return LunaCounter
function metrics.counter(server, name, help, labels, options)
  local full, number, parts, later = declare(server, C.LUNA_COUNTER, name, help, labels)
  if later > 0 then return with_later(server, Later.counter, full, number, parts, later, options) end
  return counter_t(server.state, fixed(full, number, parts)) --[[@as LunaCounter]]
end

---@return LunaGauge
function metrics.gauge(server, name, help, labels, options)
  local full, number, parts, later = declare(server, C.LUNA_GAUGE, name, help, labels)
  if later > 0 then return with_later(server, Later.gauge, full, number, parts, later, options) end
  return gauge_t(server.state, fixed(full, number, parts)) --[[@as LunaGauge]]
end

---@return LunaHistogram
function metrics.histogram(server, name, help, labels, buckets, unit, options)
  local full, number, parts, later = declare(server, C.LUNA_HISTOGRAM, name, help, labels, buckets, unit)
  if later > 0 then return with_later(server, Later.histogram, full, number, parts, later, options) end
  return histogram_t(server.state, fixed(full, number, parts)) --[[@as LunaHistogram]]
end

return metrics
