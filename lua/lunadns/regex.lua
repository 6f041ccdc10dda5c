--- Regular expressions of a Corefile: PCRE2, set up so that Go's patterns (RE2) mean the same, and bounded so
--- that none
--- can hang a worker.
local ffi = require "ffi"

ffi.cdef [[
typedef struct pcre2_real_code_8 pcre2_code_8;
typedef struct pcre2_real_match_data_8 pcre2_match_data_8;
typedef struct pcre2_real_match_context_8 pcre2_match_context_8;
typedef struct pcre2_real_compile_context_8 pcre2_compile_context_8;
pcre2_compile_context_8 *pcre2_compile_context_create_8(void *);
void pcre2_compile_context_free_8(pcre2_compile_context_8 *);
void pcre2_match_context_free_8(pcre2_match_context_8 *);
int pcre2_set_newline_8(pcre2_compile_context_8 *, uint32_t);
int pcre2_set_parens_nest_limit_8(pcre2_compile_context_8 *, uint32_t);
pcre2_code_8 *pcre2_compile_8(const char *, size_t, uint32_t, int *, size_t *, pcre2_compile_context_8 *);
void pcre2_code_free_8(pcre2_code_8 *);
int pcre2_jit_compile_8(pcre2_code_8 *, uint32_t);
pcre2_match_data_8 *pcre2_match_data_create_from_pattern_8(const pcre2_code_8 *, void *);
void pcre2_match_data_free_8(pcre2_match_data_8 *);
pcre2_match_context_8 *pcre2_match_context_create_8(void *);
int pcre2_set_match_limit_8(pcre2_match_context_8 *, uint32_t);
int pcre2_set_depth_limit_8(pcre2_match_context_8 *, uint32_t);
int pcre2_set_heap_limit_8(pcre2_match_context_8 *, uint32_t);
int pcre2_match_8(const pcre2_code_8 *, const char *, size_t, size_t, uint32_t, pcre2_match_data_8 *,
  pcre2_match_context_8 *);
size_t *pcre2_get_ovector_pointer_8(pcre2_match_data_8 *);
int pcre2_pattern_info_8(const pcre2_code_8 *, uint32_t, void *);
int pcre2_get_error_message_8(int, char *, size_t);
void *dlopen(const char *, int);
]]

-- The server is linked with it; a program that loads only the core's library may not be. It stays loaded: finalizers of a state
-- that is closed need it.
local P = ffi.C
if not pcall(function() return P.pcre2_compile_8 end) then
  local NOW, GLOBAL, NODELETE = 2, 0x100, 0x1000
  if P.dlopen("libpcre2-8.so.0", NOW + GLOBAL + NODELETE) == nil then error("libpcre2-8.so.0 cannot be loaded", 0) end
end

local DOLLAR_ENDONLY, NEVER_BACKSLASH_C, UTF, MATCH_INVALID_UTF = 0x10, 0x100000, 0x80000, 0x4000000
local NO_JIT = 0x2000
local JIT_COMPLETE = 1
local NEWLINE_LF = 2
local INFO_CAPTURECOUNT, INFO_NAMECOUNT, INFO_NAMEENTRYSIZE, INFO_NAMETABLE = 4, 17, 18, 19
local NOMATCH, JIT_STACKLIMIT = -1, -46

--- Steps of one match; some milliseconds at most. Names and error texts that fit a pattern need a few hundred.
local MATCH_LIMIT, DEPTH_LIMIT, HEAP_KIB = 100000, 1000, 1024
local UNSET = ffi.cast("size_t", -1)

local compiling = ffi.gc(P.pcre2_compile_context_create_8(nil), P.pcre2_compile_context_free_8)
P.pcre2_set_newline_8(compiling, NEWLINE_LF) -- what "." does not match
P.pcre2_set_parens_nest_limit_8(compiling, 200)
local matching = ffi.gc(P.pcre2_match_context_create_8(nil), P.pcre2_match_context_free_8)
P.pcre2_set_match_limit_8(matching, MATCH_LIMIT)
P.pcre2_set_depth_limit_8(matching, DEPTH_LIMIT)
P.pcre2_set_heap_limit_8(matching, HEAP_KIB)

local code, at, message = ffi.new "int[1]", ffi.new "size_t[1]", ffi.new "char[256]"

local regex = {}

---@class LunaRegex
---@field pattern string
---@field groups integer how many capturing groups it has
---@field names table<integer, string> names of groups
---@field compiled ffi.cdata*
---@field data ffi.cdata* of the last match
local Regex = {}
Regex.__index = Regex

local function names_of(compiled)
  local count, size, list = ffi.new "uint32_t[1]", ffi.new "uint32_t[1]", ffi.new "const uint8_t *[1]"
  P.pcre2_pattern_info_8(compiled, INFO_NAMECOUNT, count)
  P.pcre2_pattern_info_8(compiled, INFO_NAMEENTRYSIZE, size)
  P.pcre2_pattern_info_8(compiled, INFO_NAMETABLE, list)
  local names = {}
  for i = 0, count[0] - 1 do
    local entry = (list[0] + i * size[0]) --[[@as ffi.cdata*]]
    names[entry[0] * 256 + entry[1]] = ffi.string(entry + 2)
  end
  return names
end

--- Compiles a pattern. Not for every query.
---@param pattern string
---@return LunaRegex|nil
---@return string|nil err "missing closing parenthesis at offset 3 of '(ab'"
function regex.compile(pattern)
  local flags = DOLLAR_ENDONLY + NEVER_BACKSLASH_C + UTF + MATCH_INVALID_UTF
  local compiled = P.pcre2_compile_8(pattern, #pattern, flags, code, at, compiling)
  if compiled == nil then
    P.pcre2_get_error_message_8(code[0], message, 256)
    return nil, ("%s at offset %d of '%s'"):format(ffi.string(message), tonumber(at[0]), pattern)
  end
  compiled = ffi.gc(compiled, P.pcre2_code_free_8)
  P.pcre2_jit_compile_8(compiled, JIT_COMPLETE) -- where that is not possible it is interpreted
  local data = P.pcre2_match_data_create_from_pattern_8(compiled, nil)
  if data == nil then return nil, "out of memory" end
  local groups = ffi.new "uint32_t[1]"
  P.pcre2_pattern_info_8(compiled, INFO_CAPTURECOUNT, groups)
  local self = setmetatable({
    pattern = pattern, compiled = compiled, data = ffi.gc(data, P.pcre2_match_data_free_8), groups = groups[0],
    names = names_of(compiled),
  }, Regex)
  return self
end

--- Whether it matches anywhere in the text. One that needs more steps than allowed does not match.
---@param text string|ffi.cdata* const char *
---@param len? integer of a pointer's octets
---@return boolean
function Regex:test(text, len)
  len = len or #text
  local found = P.pcre2_match_8(self.compiled, text, len, 0, 0, self.data, matching)
  if found == JIT_STACKLIMIT then
    found = P.pcre2_match_8(self.compiled, text, len, 0, NO_JIT, self.data, matching)
  end
  if found < NOMATCH then self.failed = found end
  return found >= 0
end

--- The first match with its groups. Makes strings.
---@param text string
---@return table<integer|string, string>|nil captures [0] is the whole match, [1] the first group, also by its name; a
--- group that took no part is ""
---@return integer|nil from where the match begins, from 1
---@return integer|nil to its last octet
function Regex:find(text)
  if not self:test(text) then return nil end
  local bounds = P.pcre2_get_ovector_pointer_8(self.data)
  local captures = {}
  for i = 0, self.groups do
    local from, to = bounds[2 * i], bounds[2 * i + 1]
    captures[i] = from == UNSET and "" or text:sub(tonumber(from) --[[@as integer]] + 1, tonumber(to) --[[@as integer]])
    if self.names[i] then captures[self.names[i]] = captures[i] end
  end
  return captures, tonumber(bounds[0]) --[[@as integer]] + 1, tonumber(bounds[1]) --[[@as integer]]
end

--- Why the last test that gave false did so, when it was not for the text: a limit was reached.
---@return string|nil
function Regex:failure()
  if not self.failed then return nil end
  P.pcre2_get_error_message_8(self.failed, message, 256)
  self.failed = nil
  return ffi.string(message)
end

return regex
