--- Search lists of plugin autopath: of a resolv.conf file, or of the pod that asks.
local boundary = require "lunadns.boundary"
local dns = require "dns"
local ffi = require "ffi"

local C = boundary.C
local ROOT = "\0"

--- The search domains of a resolv.conf file, as names; the last line counts. Raises when it cannot be read.
local function of_file(path)
  local text = boundary.read(path)
  if not text then error(('failed to parse "%s": it cannot be read'):format(path), 0) end
  local list = {}
  for line in text:gmatch "[^\r\n]+" do
    local key, rest = line:match "^%s*(%a+)%s+(.*)$"
    if key == "search" or key == "domain" then
      list = {} ---@cast rest -?
      for word in rest:gmatch "%S+" do list[#list + 1] = dns.name(word) end
    end
  end
  return list
end

local function wire_of(name) return ffi.string(name.wire, name.len) end

---@class LunaSearch
---@field labels fun(self: LunaSearch, q: DnsQuery): integer labels of the first domain when q's name is below it, else 0
---@field list fun(self: LunaSearch, q: DnsQuery): string[] all domains as wire names, the root last; right after labels

--- The same list for everyone.
local function fixed(list)
  local first, wires = list[1], {}
  for i, name in ipairs(list) do wires[i] = wire_of(name) end
  wires[#wires + 1] = ROOT
  return {
    labels = function(_, q)
      if first and q.labels > first.labels and C.luna_query_under(q, first) ~= 0 then return first.labels end
      return 0
    end,
    list = function() return wires end,
  }
end

--- NAMESPACE.svc.ZONE, svc.ZONE, ZONE, the host's own list.
local function of_pods(cluster)
  local ok, own = pcall(of_file, "/etc/resolv.conf") ---@type boolean, any
  local rest = {}
  for i, name in ipairs(ok and own or {}) do rest[i] = wire_of(name) end
  local first = ffi.new "luna_name"
  return {
    labels = function(_, q)
      if C.luna_kubernetes_search(cluster, q, first) == 0 or q.labels <= first.labels then return 0 end
      return C.luna_query_under(q, first) ~= 0 and first.labels or 0
    end,
    list = function()
      local wire = wire_of(first)
      local list = { wire }
      for _ = 1, 2 do
        wire = wire:sub(wire:byte(1) + 2)
        list[#list + 1] = wire
      end
      for _, name in ipairs(rest) do list[#list + 1] = name end
      list[#list + 1] = ROOT
      return list
    end,
  }
end

---@param source { plugin?: string, file?: string }
---@param server LunaServer
---@return LunaSearch
return function(source, server)
  if source.file then return fixed(of_file(source.file)) end
  if source.plugin ~= "kubernetes" then
    error(("%s does not implement the AutoPather interface; only kubernetes does"):format(source.plugin), 0)
  end
  local cluster = server.block.kubernetes
  local pods = bit.lshift(1, 3)
  if cluster and bit.band(C.luna_kubernetes_kinds(cluster), pods) ~= 0 then return of_pods(cluster) end
  if server.role == "control" then
    server:log("warning", cluster and "@kubernetes needs `pods verified`: no search list is known"
      or "@kubernetes needs the kubernetes plugin in its server block: no search list is known")
  end
  return fixed {}
end
