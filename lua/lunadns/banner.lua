--- What a start prints, as CoreDNS: a line for each zone and address, then name and platform.
local ffi = require "ffi"
local boundary = require "lunadns.boundary"
local C = boundary.C

-- RFC 1035 2.3.1: labels of letters, digits and hyphens that begin with a letter. Reverse zones have digits, of course.
local function preferred(zone)
  if zone == "." or zone:find "%.in%-addr%.arpa%.$" or zone:find "%.ip6%.arpa%.$" then return true end
  for label in zone:gmatch "([^.]*)%." do
    if not label:find "^%a[%w-]*$" or label:sub(-1) == "-" then return false end
  end
  return true
end

---@param blocks LunaBlock[] with their sites
---@return string
return function(blocks)
  local lines = {}
  for _, block in ipairs(blocks) do
    for _, site in ipairs(block.sites) do
      local scheme = site.key.scheme == "dns" and "" or site.key.scheme .. "://"
      if not preferred(site.zone) then
        lines[#lines + 1] = ('Warning: Domain "%s" does not follow RFC1035 preferred syntax'):format(site.zone)
      end
      lines[#lines + 1] = ("%s%s:%d%s"):format(scheme, site.zone, site.key.port,
        site.bind ~= "" and " on " .. site.bind or "")
    end
  end
  lines[#lines + 1] = ffi.string(C.luna_version())
  lines[#lines + 1] = ("linux/%s, %s"):format(jit.arch == "x64" and "amd64" or jit.arch, jit.version)
  return table.concat(lines, "\n") .. "\n"
end
