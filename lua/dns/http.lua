--- dns.http: requests to web servers, over connections that are kept.
local ffi = require "ffi"
local address = require "lunadns.options.address"
local boundary = require "lunadns.boundary"
local host = require "dns.host"
local strand = require "lunadns.strand"

local C = boundary.C

local http = {}

local TIMEOUT = 5 -- s
local MAX_SIZE = 16 * 1048576
local REDIRECTS = 5
local FIELDS = {
  url = "string", method = "string", headers = "table", body = "string", timeout = "number", max_size = "number",
  redirects = "number", ca = "string", cert = "string", key = "string", verify = "boolean", unix = "string",
}
local PORTS = { http = 80, https = 443 }

---@class DnsHttpOptions
---@field method? string "GET" unless given, or "POST" with a body
---@field headers? table<string, string>
---@field body? string
---@field timeout? number seconds for all of it, redirects included; 5 unless given
---@field max_size? integer octets of the body at most; 16 MiB unless given
---@field redirects? integer that are followed at most; 5 unless given, 0 for none
---@field ca? string a PEM file of CAs to trust in place of the system's
---@field cert? string a PEM file: client certificate
---@field key? string a PEM file: its key
---@field verify? boolean false: any certificate will do
---@field unix? string the path of a unix socket to connect to

---@class DnsHttpRequest: DnsHttpOptions
---@field url string "https://api.example.org/v1/names"

---@class DnsHttpResponse
---@field status integer 200; an error status is a response like another
---@field headers table<string, string> by lower-case name; repeated ones are joined by ", "
---@field body string
---@field url string where it came from, after redirects

local error_buffer = ffi.new "char[512]"

--- A URL without what may be secret in it, for messages.
local function shown(method, url)
  return ("%s %s"):format(method, (url:gsub("^(%w+://)[^/@]*@", "%1"):gsub("[?#].*$", "")))
end

local function wrong(text, ...) error(("dns.http: " .. text):format(...), 4) end

local function check(request)
  if type(request) ~= "table" then wrong("expected a table { url = ... }, found %s", type(request)) end
  for field, value in pairs(request) do
    local want = FIELDS[field]
    if not want then wrong("unknown field '%s'", tostring(field)) end
    if type(value) ~= want then wrong("%s: expected a %s, found a %s", field, want, type(value)) end
  end
  if not request.url then wrong "url is missing" end
  if request.url:find "[%c ]" then wrong("url: a space or a control character in %q", request.url) end
  if request.method and not request.method:find "^%u+$" then
    wrong("method: expected one such as GET, found %q", request.method)
  end
  if request.max_size and not (request.max_size >= 0 and request.max_size <= 64 * 1048576) then
    wrong("max_size: expected octets, at most 64 MiB, found %s", tostring(request.max_size))
  end
  for name, value in pairs(request.headers or {}) do
    if type(name) ~= "string" or not name:find "^[%w!#$%%&'*+.^_`|~-]+$" then wrong("headers: %q is no name", tostring(name)) end
    if (type(value) ~= "string" and type(value) ~= "number") or tostring(value):find "[%z\r\n]" or #tostring(value) > 8000 then
      wrong("headers: %s: expected one line of text, found %q", name, tostring(value))
    end
  end
end

local function header_lines(headers)
  local lines = {}
  for name, value in pairs(headers) do lines[#lines + 1] = ("%s: %s\n"):format(name, value) end
  table.sort(lines)
  return table.concat(lines)
end

local function read_headers(text)
  local headers = {}
  for name, value in text:gmatch "([^\r\n:]+):[ \t]*([^\r\n]*)" do
    name, value = name:lower(), value:gsub("[ \t]+$", "")
    headers[name] = headers[name] and headers[name] .. ", " .. value or value
  end
  return headers
end

--- Scheme, host and port of a URL.
local function parts(url)
  local scheme, rest = url:match "^(%w+)://([^/?#]*)"
  scheme = scheme and scheme:lower()
  if not PORTS[scheme] then return nil end
  rest = rest:gsub("^.*@", "")
  local name, digits = address.split(rest)
  if not name then name = rest end
  local port = digits and tonumber(digits) or PORTS[scheme]
  if name == "" or not port or port > 65535 then return nil end
  return scheme, name, port
end

--- "host:port:address,address" for curl, which has not to ask then; "" when the host is an address itself.
local function resolved(own, name, port, timeout)
  if boundary.addr(name) then return "" end
  local list, err = host.addresses(own, name, timeout)
  if not list then return nil, err end
  local texts = {}
  for i, addr in ipairs(list) do
    local text = boundary.addr_text(addr)
    texts[i] = addr.family == 6 and "[" .. text .. "]" or text
  end
  -- With + the entry does not stay for ever in curl's cache.
  return ("+%s:%d:%s"):format(name, port, table.concat(texts, ","))
end

--- One request, over the network. Returns the response with `location` when it is a redirect.
local function perform(own, hop, timeout)
  local state = own.driver.state
  if state.dry + state.checking ~= 0 then strand.stay(own, own.q, shown(hop.method, hop.url)) end
  local begun = state.now
  local options = ffi.new "luna_http_options"
  local resolve, headers
  if not hop.unix then
    local _, name, port = parts(hop.url)
    local err
    resolve, err = resolved(own, name, port, timeout)
    if not resolve then return nil, err end
  end
  local left = timeout - tonumber(state.now - begun)
  if left <= 0 then return nil, "timed out before it was sent" end
  headers = header_lines(hop.headers)
  options.method, options.url, options.headers = hop.method, hop.url, headers
  if resolve and resolve ~= "" then options.resolve = resolve end
  if hop.body then options.body, options.body_len = hop.body, #hop.body end
  options.ca, options.cert, options.key, options.socket = hop.ca, hop.cert, hop.key, hop.unix
  options.timeout, options.max_size, options.verify = left, hop.max_size, hop.verify == false and 0 or 1
  local q = own.q
  local code = C.luna_http_start(q, options)
  if code == C.LUNA_WAIT then code = strand.wait(q) end
  local response, err
  if code == 0 then
    local result = ffi.new "luna_http_result"
    C.luna_http_result_of(q, result)
    response = {
      status = result.status, headers = read_headers(ffi.string(result.headers, result.headers_len)),
      body = ffi.string(result.body, result.body_len), url = hop.url,
    }
    if result.location ~= nil then response.location = ffi.string(result.location) end
  elseif code == C.LUNA_E_CANCEL then
    err = "cancelled"
  else
    err = ffi.string(error_buffer, C.luna_http_error(q, error_buffer, 512))
  end
  C.luna_http_end(q)
  return response, err
end

local REDIRECT = { [301] = true, [302] = true, [303] = true, [307] = true, [308] = true }

--- The request that a redirect asks for. What was meant for one server is not told another. RFC 9110 15.4.
local function follow(hop, response)
  local _, from, port = parts(hop.url)
  local scheme, to, to_port = parts(response.location)
  local next_hop = setmetatable({ url = response.location }, { __index = hop })
  if response.status ~= 307 and response.status ~= 308 and hop.method ~= "HEAD" then
    next_hop.method, next_hop.body = "GET", false
  end
  if from ~= to or port ~= to_port then
    local headers = {}
    for name, value in pairs(hop.headers) do
      local lower = name:lower()
      if lower ~= "authorization" and lower ~= "cookie" and lower ~= "host" then headers[name] = value end
    end
    next_hop.headers = headers
  end
  if hop.url:find "^[Hh][Tt][Tt][Pp][Ss]:" and scheme == "http" then return nil, "leads from https to http" end
  return next_hop
end

local function send(own, request)
  check(request)
  local timeout = strand.timeout(request, TIMEOUT, "dns.http")
  local state = own.driver.state
  local deadline = state.now + timeout
  local headers = {}
  local named_type = false
  for name, value in pairs(request.headers or {}) do
    headers[name] = value
    if name:lower() == "content-type" then named_type = true end
  end
  if request.body and not named_type then headers["content-type"] = "application/octet-stream" end
  local hop = {
    method = request.method or request.body and "POST" or "GET", url = request.url, headers = headers, body = request.body,
    ca = request.ca, cert = request.cert, key = request.key, verify = request.verify, unix = request.unix,
    max_size = request.max_size or MAX_SIZE,
  }
  local what = shown(hop.method, hop.url)
  if not parts(hop.url) then
    return nil, ("%s: expected http://host or https://host, with a port or without"):format(what)
  end
  local transport = own.driver.scripted and own.driver.scripted.http or perform
  for hops = 0, request.redirects or REDIRECTS do
    local response, err = transport(own, hop, tonumber(deadline - state.now))
    if not response then
      return nil, ("%s: %s"):format(what, err)
    end
    local location = REDIRECT[response.status] and response.location
    response.location = nil
    if not location or request.redirects == 0 then return response end
    if not parts(location) then return nil, ("%s: redirected to %q, which is no http URL"):format(what, location) end
    response.location = location
    hop, err = follow(hop, response)
    what = ("%s: redirected to %s"):format(what:gsub(": redirected to .*$", ""), shown("", location):sub(2))
    if not hop then return nil, ("%s: %s"):format(what, err) end
    if state.now >= deadline then return nil, ("%s: timed out after %g s"):format(what, timeout / 1e9) end
    if hops == (request.redirects or REDIRECTS) then break end
  end
  return nil, ("%s: more than %d redirects"):format(what, request.redirects or REDIRECTS)
end

--- Sends a request and waits for the whole response.
---
---     local response, err = dns.http.request {
---       method = "POST", url = "https://api.example.org/lookup", body = body,
---       headers = { ["content-type"] = "application/json" }, timeout = 2,
---     }
---     if not response then return dns.SERVFAIL, err end
---@param request DnsHttpRequest
---@return DnsHttpResponse|nil response whatever its status
---@return string|nil err what was tried and why it failed
function http.request(request)
  local own = strand.current "dns.http"
  return send(own, request)
end

--- Fetches a URL.
---
---     local response, err = dns.http.get("https://lists.example.org/ads.txt", { timeout = 10 })
---     if response and response.status == 200 then load(response.body) end
---@param url string
---@param opts? DnsHttpOptions
---@return DnsHttpResponse|nil response whatever its status
---@return string|nil err what was tried and why it failed
function http.get(url, opts)
  local own = strand.current "dns.http"
  if opts ~= nil and type(opts) ~= "table" then error(("dns.http: expected options, found %s"):format(type(opts)), 2) end
  local request = { url = url } ---@type table
  for key, value in pairs(opts or {}) do request[key] = value end
  return send(own, request)
end

return http
