--- The `import` of a Corefile: of a snippet, a file, or the files a glob pattern names.
local files = require "lunadns.corefile.files"
local lexer = require "lunadns.corefile.lexer"

local format = string.format

local import = {}

local Imports = {}
Imports.__index = Imports

-- CoreDNS's guards against imports without end; it prints the same number for both kinds.
local MAX_SNIPPETS = 10000
local MAX_FILES = 100000

-- Tokens that repeated imports may add. It bounds the memory that a small file can ask for.
local MAX_REPEATED = 1000000

---@param kind "snippet"|"file"
function import.too_deep(kind) return format("maximum %s import depth (%d) exceeded", kind, MAX_SNIPPETS) end

--- State of the imports of one reading.
---@param opts table  readfile, glob, cwd, warn, limits
---@param record fun(path: string, text: string)  told once of each file read
function import.new(opts, record)
  local limits = opts.limits or {}
  return setmetatable({
    opts = opts,
    record = record,
    snippets = {},          -- name -> tokens
    files = {},             -- absolute path -> tokens
    matches = {},           -- absolute pattern -> paths
    snippet_budget = limits.snippets or MAX_SNIPPETS,
    file_budget = limits.files or MAX_FILES,
    repeat_budget = limits.repeated or MAX_REPEATED,
  }, Imports)
end

-- Tokens that are imported again while they are being read have no end: fails at once, not after the budget.
local function check_cycle(parser, tokens, frame, kind)
  while frame do
    if frame.tokens == tokens then parser:fail(import.too_deep(kind)) end
    frame = frame.origin
  end
end

-- Charges tokens that were read before.
local function charge(self, parser, tokens, kind)
  self.repeat_budget = self.repeat_budget - #tokens
  if self.repeat_budget < 0 then parser:fail(import.too_deep(kind)) end
end

local function count(text, char)
  local _, n = text:gsub(char, "")
  return n
end

local function find_files(self, parser, what)
  local importer = files.absolute(parser.cur.file, self.opts.cwd)
  local pattern = what
  if what:sub(1, 1) ~= "/" then pattern = files.absolute(what, files.dirname(importer)) end
  if count(pattern, "%*") > 1 or count(pattern, "%?") > 1
    or (pattern:find("[", 1, true) and pattern:find("]", 1, true)) then
    parser:fail("Glob pattern may only contain one wildcard (*), but has others: " .. pattern)
  end
  -- No file has such a path (PATH_MAX of Linux), but a cycle through ever longer ones could go on for long.
  if #pattern > 4095 then parser:fail("File to import not found: " .. what) end
  local paths = self.matches[pattern]
  if not paths then
    local err
    paths, err = self.opts.glob(pattern)
    if not paths then parser:fail(format("Failed to use import pattern %s: %s", what, err)) end
    self.matches[pattern] = paths
  end
  if #paths == 0 then
    if not pattern:find("[*?%[%]]") then parser:fail("File to import not found: " .. what) end
    self.opts.warn("No files matching import glob pattern: " .. what)
  end
  return paths
end

local function load_file(self, parser, path)
  local absolute = files.absolute(path, self.opts.cwd)
  local tokens = self.files[absolute]
  if tokens then
    charge(self, parser, tokens, "file")
    return tokens
  end
  local text, err = self.opts.readfile(path)
  if not text then parser:fail(format("Could not import %s: %s", path, err)) end
  self.record(absolute, text)
  tokens = lexer.tokenize(text, absolute)
  self.files[absolute] = tokens
  return tokens
end

--- Pushes the tokens `what` stands for onto the parser. The parser's current token is the argument of the import.
---@param parser table
---@param what string  not empty, variables expanded
---@param frame table  the parser's frame that holds the import
function Imports:expand(parser, what, frame)
  local snippet = self.snippets[what]
  if snippet then
    if self.snippet_budget <= 0 then parser:fail(import.too_deep("snippet")) end
    self.snippet_budget = self.snippet_budget - 1
    check_cycle(parser, snippet, frame, "snippet")
    charge(self, parser, snippet, "snippet")
    parser:push(snippet, frame)
    return
  end
  if self.file_budget <= 0 then parser:fail(import.too_deep("file")) end
  self.file_budget = self.file_budget - 1
  local loaded = {}
  for i, path in ipairs(find_files(self, parser, what)) do
    loaded[i] = load_file(self, parser, path)
    check_cycle(parser, loaded[i], frame, "file")
  end
  parser.crossed = true
  for i = #loaded, 1, -1 do
    parser:push(loaded[i], frame)
  end
end

return import
