--- What dns.http and sockets get in a spec in place of a network.
--
-- s:http {
--   ["https://api.test/v1"]      = "body",                                    -- GET, status 200
--   ["POST https://api.test/v1"] = { status = 201, body = "...", headers = { ["content-type"] = "text/plain" } },
--   ["https://slow.test/"]       = { delay = "300ms", body = "late" },
--   ["https://moved.test/"]      = { status = 302, location = "https://api.test/v1" },
--   ["https://down.test/"]       = { error = "connection refused" },
--   ["https://lost.test/"]       = { drop = true },                           -- silence: the request times out
--   default                      = function(request) return { ... } end,      -- request: method, url, headers, body ...
-- }
-- A value may be a function(request). What is not scripted fails the spec.
local strand = require "lunadns.strand"
local tasks = require "dns.tasks"

local scripted = {}

---@param value string|number
---@return number
local function seconds(value)
  if type(value) == "number" then return value end
  return assert(require("lunadns.options.duration").parse(value), tostring(value) .. " is not a duration")
end

--- Fails the spec, and the handler on the way.
---@param s DnsTestServer
---@param text string
local function unscripted(s, text)
  s.unscripted = s.unscripted or text
  error(text, 0)
end

--- Waits as long as a script says. Returns true, or nil and the error when the time of the call is over.
---@param answer table { delay, drop, error }
---@param left number ns that the call may take
local function pace(answer, left)
  local delay = answer.drop and math.huge or seconds(answer.delay or 0)
  if delay * 1e9 >= left then
    local ok, err = tasks.sleep(left / 1e9)
    return nil, ok and ("timed out after %g s"):format(left / 1e9) or err
  end
  if delay > 0 then
    local ok, err = tasks.sleep(delay)
    if not ok then return nil, err end
  end
  if answer.error then return nil, answer.error end
  return true
end

local function http(s, own, request, left)
  strand.current "dns.http"
  s.requested = s.requested or {}
  local seen = { method = request.method, url = request.url, headers = request.headers, body = request.body or nil }
  table.insert(s.requested, seen)
  local script, key = s.http_script or {}, request.method .. " " .. request.url
  local answer = script
  if type(script) == "table" then
    answer = script[key]
    if answer == nil and request.method == "GET" then answer = script[request.url] end
    if answer == nil then answer = script.default end
  end
  if type(answer) == "function" then answer = answer(seen) end
  if type(answer) == "string" then answer = { body = answer } end
  if answer == nil then
    unscripted(s, ("%s is not scripted: s:http { [%q] = \"body\" }"):format(key, request.method == "GET" and request.url or key))
  end
  local ok, err = pace(answer, left)
  if not ok then return nil, err end
  local body, headers = answer.body or "", {}
  if #body > request.max_size then return nil, ("the response is larger than %d octets"):format(request.max_size) end
  for name, value in pairs(answer.headers or {}) do headers[name:lower()] = value end
  if own.driver.state.dry ~= 0 then return nil, "cancelled" end
  return { status = answer.status or 200, headers = headers, body = body, url = request.url,
    location = answer.location or headers.location }
end

--- What a driver of this server has as `scripted`.
---@param s DnsTestServer
---@return table
function scripted.new(s)
  return { http = function(own, request, left) return http(s, own, request, left) end }
end

return scripted
