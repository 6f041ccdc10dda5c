--- For specs: a plugin `probe` whose setup and handler are functions of the spec.
local directory = require "spec.lunadns.directory"
local t = require "dns.test"

local probe = {}
package.loaded["dns.probe"] = probe -- the plugin's `require` hands modules of this name on

local PLUGIN = [[
local dns = require "dns"
local probe = require "dns.probe"
return dns.plugin {
  name = "probe", doc = "Runs what the spec says.", options = {}, PLACE = "cache",
  setup = function(_, next, server) return probe.setup(next, server) end,
}]]

--- A server with the plugin in it.
---@param corefile string
---@param setup fun(next: function, server: LunaServer): function
---@param options? table of t.try, and place: "after" for behind the cache
---@return DnsTestServer|nil
---@return string|nil err
function probe.try(corefile, setup, options)
  probe.setup = setup
  options = options or {}
  options.directory = directory.new { ["probe.lua"] = (PLUGIN:gsub("PLACE", options.place or "before")) }
  return t.try(corefile, options)
end

function probe.server(corefile, setup, options)
  local s, err = probe.try(corefile, setup, options)
  return s or error(err, 2)
end

--- A server whose handler is fn(q) for the names below run.test: what it returns is in probe.result; the client gets
--- NOERROR, or what fn threw.
---@param corefile string what follows `probe` in the block
---@param fn fun(q: ffi.cdata*, server: LunaServer): any, any
function probe.handler(corefile, fn, options)
  return probe.server(". {\n probe\n" .. corefile .. "\n}", function(next, server)
    return function(q)
      if not q:under "run.test." then return next(q) end
      probe.result = nil
      probe.result = { fn(q, server) }
      return 0
    end
  end, options)
end

--- Asks for a name below run.test and gives what the handler's function returned.
function probe.run(s, name)
  local reply = s:query((name or "x.run.test.") .. " A")
  if not (reply and reply.rcode == "NOERROR" and probe.result) then error("the handler failed:\n" .. s:log(), 2) end
  return unpack(probe.result, 1, 3)
end

function probe.close()
  t.close_all()
  directory.remove_all()
end

return probe
