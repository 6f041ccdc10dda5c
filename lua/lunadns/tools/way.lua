--- The way of one query through a chain: what `lunadns trace` records. Each plugin's handler is wrapped (LunaBoot.wrap).
local ffi = require "ffi"
local boundary = require "lunadns.boundary"
local C = boundary.C

local way = {}

---@class LunaStep
---@field plugin string
---@field place string "Corefile:7"
---@field question string as the plugin got it
---@field before string the reply when it began
---@field after? string the reply when it returned; nil while it has not
---@field rcode? integer
---@field err? string what it returned beside the rcode
---@field began number ns
---@field took? number ns, with all that stands behind it
---@field next? LunaStep the plugin it passed the query to

local function question_of(q)
  return q:name_text() .. " " .. ffi.string(C.luna_type_text(q.qtype, ffi.new "char[16]"))
end

local function reply_of(q) return q.reply_len > 0 and ffi.string(q.reply, q.reply_len) or "" end

--- A recorder: `wrap` for LunaBoot; after a query, `steps[index]` is the first step of the query in that slot.
---@return { wrap: function, steps: table<integer, LunaStep> }
function way.new()
  local steps, now = {}, {}
  local function wrap(handler, instance)
    return function(q)
      local index = q.index
      local parent = now[index]
      local step = {
        plugin = instance.plugin.name, place = ("%s:%d"):format(instance.directive.file, instance.directive.line),
        question = question_of(q), before = reply_of(q), began = tonumber(C.luna_clock()),
      }
      if parent then
        parent.next = step
      else
        steps[index] = step
      end
      now[index] = step
      local rcode, err = handler(q)
      step.took = tonumber(C.luna_clock()) - step.began
      step.after, step.rcode, step.err = reply_of(q), rcode, err
      now[index] = parent
      return rcode, err
    end
  end
  return { wrap = wrap, steps = steps }
end

local function rcode_text(rcode) return ffi.string(C.luna_rcode_text(rcode, ffi.new "char[16]")) end

--- "NOERROR, 2 records"
local function summary(message)
  local count = message:byte(7) * 256 + message:byte(8)
  local records = count == 0 and "no record" or count == 1 and "1 record" or count .. " records"
  return rcode_text(message:byte(4) % 16) .. ", " .. records
end

--- What a plugin did, in a few words.
---@param step LunaStep
---@return string
function way.outcome(step)
  local said = step.err and (": " .. step.err) or ""
  if not step.after then return "failed" end
  if not step.next then
    if step.after ~= "" and step.after ~= step.before then return "answered " .. summary(step.after) .. said end
    return ("returned %s%s"):format(rcode_text(step.rcode), said)
  end
  local next = step.next
  local done = { next.question ~= step.question and "passed on as " .. next.question or "passed on" }
  if not next.after then
    done[#done + 1] = "and that failed"
  elseif next.after ~= step.after then
    done[#done + 1] = "then " .. (next.after == "" and "answered itself" or "changed the reply")
  elseif next.rcode ~= step.rcode then
    done[#done + 1] = "then returned " .. rcode_text(step.rcode)
  end
  return table.concat(done, ", ")
end

--- Time in the plugin itself, without what stands behind it.
---@param step LunaStep
---@return number|nil ns
function way.own(step)
  if not step.took then return nil end
  return step.took - (step.next and step.next.took or 0)
end

return way
