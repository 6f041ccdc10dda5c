--- Which addresses the server block listens on. As CoreDNS's plugin bind.
local address = require "lunadns.options.address"
local dns = require "dns"
local interfaces = require "lunadns.interfaces"

--- The addresses of a row of words.
local function expand(words, known)
  local out = {}
  for _, word in ipairs(words) do
    if known[word] then
      for _, text in ipairs(known[word]) do out[#out + 1] = text end
    else
      local plain, zone = word:match "^([^%%]*)(.*)$"
      local text, family = address.ip(plain)
      if not text or zone == "%" or zone ~= "" and family == 4 then
        error(('not a valid IP address or interface name: "%s"'):format(word), 0)
      end
      out[#out + 1] = text .. zone
    end
  end
  return out
end

return dns.plugin {
  name = "bind",
  doc = "Listens on these addresses only. Without it: on all.",
  many = "merge",
  options = {
    {
      "addresses", rest = true, required = true,
      doc = "IP addresses, or names of interfaces, which stand for the addresses they have when the Corefile is loaded.",
    },
    except = { rest = true, type = "string", min_args = 1, arg = "ADDRESS...", doc = "But not on these." },
  },
  configure = function(confs, server)
    local known, seen, binds = interfaces.addresses(), {}, {}
    for _, conf in ipairs(confs) do
      local except = {}
      for _, text in ipairs(expand(conf.except or {}, known)) do except[text] = true end
      for _, text in ipairs(expand(conf.addresses, known)) do
        if not except[text] and not seen[text] then
          seen[text] = true
          binds[#binds + 1] = text
        end
      end
    end
    if #binds == 0 then
      error("no address is left to listen on: the interfaces have none, or 'except' names them all", 0)
    end
    server.block.binds = binds
  end,
}
