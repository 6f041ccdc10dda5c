--- Where relative file names of the server block begin. As CoreDNS's plugin root.
local ffi = require "ffi"
local dns = require "dns"

ffi.cdef [[
int access(const char *path, int mode);
char *strerror(int number);
]]

local ENOENT = 2

return dns.plugin {
  name = "root",
  doc = "Relative file names of other plugins in the server block are below this directory.",
  many = "merge",
  options = { { "path", required = true, doc = "The directory." } },
  configure = function(confs, server)
    local path = confs[#confs].path -- of several the last one counts, as in CoreDNS
    server.block.root = path
    if server.role ~= "control" or ffi.C.access(path, 0) == 0 then return end
    local errno = ffi.errno()
    if errno ~= ENOENT then
      error(("unable to access root path '%s': %s"):format(path, ffi.string(ffi.C.strerror(errno))), 0)
    end
    server:log("warning", "Root path does not exist: %s", path) -- it may appear later
  end,
}
