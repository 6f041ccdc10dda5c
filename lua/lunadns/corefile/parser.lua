--- Groups the tokens of a Corefile into server blocks, directives and option lines.
--
-- It accepts and refuses what CoreDNS's reader does, in the same words. Imports are expanded lazily: each one
-- pushes its tokens as a frame that is read before the rest of the file, so nothing is copied.
local env = require "lunadns.corefile.env"
local import = require "lunadns.corefile.import"
local tree = require "lunadns.corefile.tree"
local utf8 = require "lunadns.corefile.utf8"

local format = string.format

local Parser = {}
Parser.__index = Parser

--- An entry of an option block: `name arg... { ... }`.
---@class lunadns.corefile.entry
---@field name lunadns.corefile.token
---@field args lunadns.corefile.token[]
---@field block lunadns.corefile.entry[]?

---@class lunadns.corefile.run  one appearance of a directive
---@field args lunadns.corefile.token[]
---@field block lunadns.corefile.entry[]?
---@field file string
---@field line integer

---@class lunadns.corefile.directive : lunadns.corefile.run  its own fields are those of the first run
---@field name string
---@field runs lunadns.corefile.run[]
---@field tokens lunadns.corefile.token[]  all tokens as read, braces included

-- Errors are thrown as tables with this mark; anything else that is thrown is a defect.
Parser.ERROR = {}

local function throw(text) error(setmetatable({ text = text }, Parser.ERROR), 0) end

function Parser:where()
  local token = self.cur or self.prev
  if not token then return self.file, 1 end
  return token.file, token.line
end

---@param message string
function Parser:fail(message)
  local file, line = self:where()
  throw(utf8.oneline(format("%s:%d - Error during parsing: %s", file, line, message)))
end

function Parser:fail_syntax(expected)
  local file, line = self:where()
  local found = self.cur and self.cur.text or ""
  local text = format("%s:%d - Syntax error: Unexpected token '%s', expecting '%s'", file, line, found, expected)
  throw(utf8.oneline(text))
end

function Parser:fail_argument()
  if self.cur.text == "{" then self:fail("Unexpected token '{', expecting argument") end
  self:fail(format("Wrong argument count or unexpected line ending after '%s'", self.cur.text))
end

--- Puts tokens in front of what is still to be read. `origin` is the frame that holds the import.
function Parser:push(tokens, origin)
  self.depth = self.depth + 1
  self.frames[self.depth] = { tokens = tokens, at = 1, origin = origin }
  self.crossed = true
end

function Parser:peek()
  while self.depth > 0 do
    local frame = self.frames[self.depth]
    local token = frame.tokens[frame.at]
    if token then return token end
    self.frames[self.depth] = nil
    self.depth = self.depth - 1
    self.crossed = true
  end
end

function Parser:next()
  local token = self:peek()
  if not token then return false end
  local frame = self.frames[self.depth]
  frame.at = frame.at + 1
  self.prev, self.cur = self.cur, token
  self.fresh, self.crossed = self.crossed, false
  return true
end

--- Takes back the last next(); peek() must not have been called in between.
function Parser:unread()
  local frame = self.frames[self.depth]
  frame.at = frame.at - 1
  self.crossed = self.fresh
  self.cur = self.prev
end

--- Moves to the next token if it is on the same line.
function Parser:next_arg()
  local token = self:peek()
  local cur = self.cur
  if not token or self.crossed or token.file ~= cur.file or token.line ~= cur.last then return false end
  return self:next()
end

--- Is the current token the first of its line? The border of an import always ends a line.
function Parser:new_line()
  local prev, cur = self.prev, self.cur
  return self.fresh or prev == nil or prev.file ~= cur.file or prev.last < cur.line
end

function Parser:expand(text)
  local expanded, name = env.expand(text, self.opts.getenv)
  if not expanded then
    self:fail(format("environment variable '%s' refers to itself or to more than 1000 others", name))
  end
  return expanded
end

--- The current token with its variables expanded.
function Parser:expanded()
  local token = self.cur
  local text = self:expand(token.text)
  if text == token.text then return token end
  return { text = text, file = token.file, line = token.line, last = token.last, quoted = token.quoted }
end

--- The current token is `import`: pushes what it names. Afterwards the token before it is the current one.
function Parser:import()
  local before, frame = self.prev, self.frames[self.depth]
  if not self:next_arg() then self:fail_argument() end
  local what = self:expand(self.cur.text)
  if what == "" then self:fail("Import requires a non-empty filepath") end
  if self:next_arg() then self:fail("Import takes only one argument (glob pattern or file)") end
  self.imports:expand(self, what, frame)
  self.cur = before
end

-- The keys of a block. Returns true when the file ends with them.
function Parser:keys(block)
  local another = false
  while true do
    local text = self.cur and self:expand(self.cur.text) or ""
    if text == "import" and self:new_line() then
      self:import()
      if not self:next() then
        if another then self:fail("Unexpected EOF") end
        return true
      end
    elseif text == "{" then
      if another then self:fail("Expected another address but had '{' - check for extra comma") end
      return false
    else
      if text ~= "" then
        another = text:sub(-1) == ","
        if another then text = text:sub(1, -2) end
        block.keys[#block.keys + 1] = { text = text, file = self.cur.file, line = self.cur.line }
      end
      local more = self:next()
      if not more and another then self:fail("Unexpected EOF") end
      if not more then return true end
      if not another and self:new_line() then return false end
    end
  end
end

-- The body of a snippet, stored as it stands.
function Parser:snippet(name)
  if self.imports.snippets[name] then
    self:fail(format("redeclaration of previously declared snippet %s", name))
  end
  if self.cur.text ~= "{" then self:fail_syntax("{") end
  local tokens, nesting = {}, 1
  while self:next() do
    local text = self.cur.text
    if text == "}" then nesting = nesting - 1 end
    if nesting == 0 then break end
    if text == "{" then nesting = nesting + 1 end
    tokens[#tokens + 1] = self.cur
  end
  if nesting ~= 0 then self:fail_syntax("}") end
  for i = 1, #tokens - 1 do
    local token, prev = tokens[i], tokens[i - 1]
    if token.text == "import" and (not prev or prev.file ~= token.file or prev.line ~= token.line)
      and self:expand(tokens[i + 1].text) == name then
      self:fail(import.too_deep("snippet"))
    end
  end
  self.imports.snippets[name] = tokens
end

-- The current token names a directive: reads to the end of its line or block.
function Parser:directive(block, braced)
  local name = self:expand(self.cur.text)
  local opts = self.opts ---@type lunadns.corefile.options
  if opts.known and not opts.known(name) then
    self:fail(format("Unknown directive '%s'%s", name, opts.hint and opts.hint(name) or ""))
  end
  local run = { args = {}, file = self.cur.file, line = self.cur.line }
  local directive = block.by_name[name]
  if directive then
    directive.runs[#directive.runs + 1] = run
  else
    directive = { name = name, file = run.file, line = run.line, runs = { run }, tokens = {} }
    block.by_name[name] = directive
    block.directives[#block.directives + 1] = directive
  end
  local tokens = directive.tokens
  tokens[#tokens + 1] = self.cur

  local place = tree.new()
  while self:next() do
    local text, token = self.cur.text, self.cur
    if text == "{" then
      tree.open_brace(self, run, place, name)
    elseif place.nesting == 0 and self:new_line() then
      self:unread()
      break
    elseif text == "}" and place.nesting > 0 then
      tree.close_brace(place)
    elseif text == "}" then
      if not (opts.one_line and braced) then self:fail("Unexpected '}' because no matching opening brace") end
      self:unread()
      break
    elseif text == "import" and self:new_line() then
      self:import()
      token = nil
    else
      token = tree.add_word(self, run, place, name)
    end
    if token then tokens[#tokens + 1] = token end
  end
  if place.nesting > 0 then self:fail("Unexpected EOF") end
  directive.args, directive.block = directive.runs[1].args, directive.runs[1].block
end

-- What follows the keys. Without an opening brace the block runs to the end of the file.
function Parser:contents(block)
  local braced = self.cur.text == "{"
  if not braced then self:unread() end
  while self:next() do
    local text = self.cur.text
    if text == "}" then break end
    if text == "import" then
      self:import()
    else
      self:directive(block, braced)
    end
  end
  if braced and self.cur.text ~= "}" then self:fail_syntax("}") end
end

local function parse_all(self)
  local blocks = {}
  while self:next() do
    local file, line = self.cur.file, self.cur.line
    local block = { keys = {}, file = file, line = line, directives = {}, by_name = {} }
    local ended = self:keys(block)
    local snippet = not ended and #block.keys == 1 and block.keys[1].text:match("^%((.*)%)$")
    if snippet then
      self:snippet(snippet)
    else
      if not ended then self:contents(block) end
      if block.keys[1] then
        block.file, block.line = block.keys[1].file, block.keys[1].line
        blocks[#blocks + 1] = block
      end
    end
  end
  return blocks
end

local parser = { ERROR = Parser.ERROR, throw = throw }

--- Parses the tokens of a file. A block's keys are { text=, file=, line= } as written; `by_name` maps a name to
--- its directive. Throws a table with the metatable parser.ERROR and the message in `text`.
---@param tokens lunadns.corefile.token[]
---@param file string  the name of the main file
---@param opts table   known, hint, one_line, getenv, readfile, glob, cwd, warn, limits as in lunadns.corefile
---@param record fun(path: string, text: string)  told of each imported file
---@return table[] blocks
function parser.parse(tokens, file, opts, record)
  local self = setmetatable({ file = file, opts = opts, frames = {}, depth = 0, crossed = true }, Parser)
  self.imports = import.new(opts, record)
  self:push(tokens)
  return parse_all(self)
end

return parser
