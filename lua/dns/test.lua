--- The test harness: the real core and chain in this process, without sockets, on a virtual clock.
--
--     local t = require "dns.test"
--
--     describe("sinkhole", function()
--       local s = t.server ". { sinkhole ads.example }"
--       it("answers below its zone", function()
--         assert.answer("x.ads.example. 60 IN A 0.0.0.0", s:query "x.ads.example. A")
--       end)
--     end)
--
-- What s can do: dns/test/server.lua. What can be asserted: dns/test/asserts.lua. `lunadns test` and busted run such files.
local Files = require "dns.test.files"
local Server = require "dns.test.server"

---@class DnsTest
local t = {}

--- How specs run. `lunadns test --reload` and `--live` set them, with plain busted the environment does.
---@class DnsTestMode
---@field reload boolean a reload between every two queries
---@field live boolean a server of its own on a free port, asked over UDP
t.mode = { reload = os.getenv "LUNADNS_TEST_RELOAD" == "1", live = os.getenv "LUNADNS_TEST_LIVE" == "1" }

local open = {}

--- The directory of the spec that runs; of one in a folder spec/ or test/, the folder above: there its plugins are.
---@return string
function t.directory()
  local nearest
  for level = 2, 30 do
    local info = debug.getinfo(level, "S")
    if not info then break end
    local file = info.source:match "^@(.*)$"
    if file and file:find "_spec%.lua$" then
      nearest = file
      break
    end
  end
  local directory = nearest and nearest:match "^(.*)/[^/]*$" or "."
  if directory:find "^specs?$" or directory:find "^tests?$" then return "." end
  return directory:match "^(.*)/specs?$" or directory:match "^(.*)/tests?$" or directory
end

---@class DnsTestServerOptions
---@field port? integer of keys without one; 53
---@field directory? string|DnsTestFiles where the Corefile is, and so plugins and what it imports; t.directory()
---@field files? table<string, string> files beside the Corefile, as t.files
---@field upstream? table|function what upstreams answer from the start, for a setup that asks
---@field http? table|function the same of web servers
---@field sockets? table the same of sockets

--- Starts a server from the text of a Corefile. It ends with the spec's file, or with s:close().
---@param text string
---@param options? DnsTestServerOptions
---@return DnsTestServer|nil server
---@return string|nil err what the user would see
function t.try(text, options)
  options = options or {}
  local directory = options.directory
  if options.files then directory = t.files(options.files) end
  local given = { text = text, port = options.port or 53, mode = t.mode, scripts = options }
  -- A file name that a message would show is shortened to what an author calls it.
  given.conf = options.directory and tostring(directory) .. "/Corefile" or "Corefile"
  given.directory = directory and tostring(directory) or t.directory()
  local class = t.mode.live and require "dns.test.live" or Server
  local self, err = class.open(given)
  if not self then return nil, err end
  open[self] = true
  return self
end

--- As t.try, but a wrong Corefile fails the spec.
---@param text string
---@param options? DnsTestServerOptions
---@return DnsTestServer
function t.server(text, options)
  local self, err = t.try(text, options)
  return self or error(err, 2)
end

--- A temporary directory with files of these names and texts ("plugins/x.lua" makes the folder). It goes with the spec's
--- file.
---@param files? table<string, string>
---@return DnsTestFiles directory give it to t.server as `directory`; tostring is its path
function t.files(files)
  local self = Files.new(files)
  open[self] = true
  return self
end

--- Ends all servers and removes all files: what the end of a spec's file does too.
function t.close_all()
  for each in pairs(open) do each:close() end
  open = {}
end

require("dns.test.asserts")(t)

return t
