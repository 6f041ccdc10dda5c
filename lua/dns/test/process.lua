--- The server's process of `lunadns test --live`: started, read, signalled, ended.
local ffi = require "ffi"

ffi.cdef [[
typedef struct { int allocated, used; void *actions; int pad[16]; } luna_spawn_actions; /* posix_spawn_file_actions_t */
int posix_spawn_file_actions_init(luna_spawn_actions *actions);
int posix_spawn_file_actions_destroy(luna_spawn_actions *actions);
int posix_spawn_file_actions_addopen(luna_spawn_actions *actions, int fd, const char *path, int flags, unsigned mode);
int posix_spawn_file_actions_adddup2(luna_spawn_actions *actions, int fd, int to);
int posix_spawn(int *pid, const char *path, const luna_spawn_actions *actions, const void *attributes, char *const argv[],
  char *const envp[]);
int waitpid(int pid, int *status, int options);
int kill(int pid, int signal);
int usleep(unsigned microseconds);
long readlink(const char *path, char *buffer, size_t size);
extern char **environ;
]]

local C = ffi.C
local NOHANG = 1
local WRITE_CREATE = 1 + 64 + 512

local process = {}

---@class DnsTestProcess
---@field pid integer
---@field file string where its output goes
---@field read_to integer how much of it was taken
local Process = {}
Process.__index = Process

process.TERM, process.USR1, process.KILL = 15, 10, 9

--- The lunadns to start: this binary, or the one beside the library.
---@return string
function process.binary()
  local buffer = ffi.new "char[4096]"
  local n = tonumber(C.readlink("/proc/self/exe", buffer, 4096)) --[[@as integer]]
  local own = n > 0 and ffi.string(buffer, n) or ""
  if own:find "/lunadns$" then return own end
  local library = require("lunadns.boundary").library or ""
  for _, path in ipairs { (library:gsub("[^/]*$", "lunadns")), (library:gsub("[^/]*/[^/]*$", "bin/lunadns")) } do
    local f = io.open(path, "rb")
    if f then
      f:close()
      return path
    end
  end
  error("--live starts lunadns, which is not beside liblunadns.so: `lunadns test --live` knows where it is", 0)
end

--- Starts a command with its output in a file.
---@param command string[]
---@param file string
---@return DnsTestProcess
function process.start(command, file)
  local argv = ffi.new("char *[?]", #command + 1)
  for i, word in ipairs(command) do argv[i - 1] = ffi.cast("char *", word) end
  local actions, pid = ffi.new "luna_spawn_actions", ffi.new "int[1]"
  C.posix_spawn_file_actions_init(actions)
  C.posix_spawn_file_actions_addopen(actions, 1, file, WRITE_CREATE, 420)
  C.posix_spawn_file_actions_adddup2(actions, 1, 2)
  local failed = C.posix_spawn(pid, command[1], actions, nil, argv, C.environ)
  C.posix_spawn_file_actions_destroy(actions)
  if failed ~= 0 then error(("cannot start %s: %s"):format(command[1], ffi.string(C.strerror(failed))), 0) end
  return setmetatable({ pid = pid[0], file = file, read_to = 0 }, Process)
end

--- Its output, from the beginning.
---@return string
function Process:output()
  local f = io.open(self.file, "rb")
  if not f then return "" end
  local text = f:read "*a"
  f:close()
  return text
end

---@return boolean
function Process:running()
  if self.ended then return false end
  self.ended = C.waitpid(self.pid, nil, NOHANG) == self.pid
  return not self.ended
end

--- Waits until its output has a line that fits, from an octet on.
---@param pattern string
---@param from? integer
---@param seconds? number
---@return string|nil found
function Process:wait_for(pattern, from, seconds)
  for _ = 1, (seconds or 10) * 200 do
    local alive = self:running()
    local found = self:output():match(pattern, from or 1)
    if found then return found end
    if not alive then return nil end
    C.usleep(5000)
  end
end

---@param number integer
function Process:signal(number)
  if self:running() then C.kill(self.pid, number) end
end

function Process:close()
  self:signal(process.TERM)
  for _ = 1, 2000 do
    if not self:running() then return end
    C.usleep(5000)
  end
  C.kill(self.pid, process.KILL)
  C.waitpid(self.pid, nil, 0)
  self.ended = true
end

return process
