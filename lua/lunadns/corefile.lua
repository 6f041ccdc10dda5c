--- Reads a Corefile, with CoreDNS's grammar and error texts.
local files = require "lunadns.corefile.files"
local json = require "lunadns.corefile.json"
local keys = require "lunadns.corefile.keys"
local lexer = require "lunadns.corefile.lexer"
local parser = require "lunadns.corefile.parser"
local utf8 = require "lunadns.corefile.utf8"

local format = string.format

local corefile = {}

---@class lunadns.corefile.options
---@field known? fun(name: string): boolean      does the directive exist? Without it all do
---@field hint? fun(name: string): string        what to do about one that does not, put behind the message
---@field default_port? integer                  port of keys without scheme and port, 53 unless given
---@field encrypted? boolean                     accept tls://, quic://, grpc://, https:// and https3:// keys
---@field one_line? boolean                      `. { whoami }` is a block; CoreDNS refuses it
---@field readfile? fun(path: string): string?, string?   text, or nil and what is wrong
---@field glob? fun(pattern: string): string[]?, string?  sorted paths for an absolute pattern
---@field getenv? fun(name: string): string?
---@field cwd? string                            base of relative paths, the current directory unless given
---@field warn? fun(message: string)             a pattern that matches nothing; without "[WARNING] "
---@field limits? { snippets: integer?, files: integer?, repeated: integer? }  guards on imports

---@class lunadns.corefile.block
---@field keys lunadns.corefile.key[]            CIDRs expanded, in their order
---@field written string[]                       the keys as written, variables expanded
---@field file string
---@field line integer
---@field directives lunadns.corefile.directive[]  by first appearance

---@class lunadns.corefile.config
---@field blocks lunadns.corefile.block[]
---@field files table<string|integer, string>    path by the order of reading, text by path
---@field file string                            the main file's name
---@field default boolean                        the file has no server block; `blocks` is what is served then

local function put(config, path, text)
  if config.files[path] then return end
  config.files[#config.files + 1] = path
  config.files[path] = text
end

-- The keys of a block as written -> its listening keys. Throws.
local function inspect(block, opts)
  local list, written = {}, {}
  for i, raw in ipairs(block.keys) do
    local parsed, err = keys.parse(raw.text, opts.default_port)
    if not parsed then parser.throw("error inspecting server blocks: " .. err) end
    written[i] = raw.text
    for _, key in ipairs(parsed --[[@as lunadns.corefile.key[] ]]) do
      key.file, key.line = raw.file, raw.line
      list[#list + 1] = key
    end
  end
  block.keys, block.written = list, written
end

-- What CoreDNS accepts as a key but cannot listen on, and what this server cannot yet. Throws.
local function check_listeners(block, opts)
  for _, key in ipairs(block.keys) do
    if key.port < 0 or key.port > 65535 then parser.throw(format("address %d: invalid port", key.port)) end
    local refusal
    if key.scheme == "unix" then
      refusal = "a server cannot listen on unix://; remove the scheme or write dns://"
    elseif keys.encrypted[key.scheme] and not opts.encrypted then
      refusal = "encrypted listeners are not available yet; remove the scheme or serve plain dns://"
    end
    if refusal then
      parser.throw(utf8.oneline(format("%s:%d - %s: %s", key.file, key.line, key.text, refusal)))
    end
  end
end

local function parse(name, text, opts, config)
  local record = function(path, content) put(config, path, content) end
  local blocks = parser.parse(lexer.tokenize(text, name), name, opts, record)
  for _, block in ipairs(blocks) do
    inspect(block, opts)
    block.by_name = nil
  end
  for _, block in ipairs(blocks) do
    check_listeners(block, opts)
  end
  return blocks
end

local function load(path, text, opts)
  if not text then
    local err
    text, err = opts.readfile(path)
    if not text then
      if err == "is a directory" then err = format("read %s: %s", path, err) end
      parser.throw(utf8.oneline("loading Caddyfile via flag: " .. err))
    end
  end
  local config = { file = path, files = {}, default = false }
  put(config, path, text)
  config.blocks = parse(path, text, opts, config)
  if #config.blocks == 0 then
    config.default = true
    local substitute = format(".:%d {\nwhoami\nlog\n}\n", opts.default_port or 53)
    config.blocks = parse("Corefile", substitute, opts, config)
  end
  return config
end

--- Reads a Corefile and all it imports.
---@param path string   its path, or only its name when `text` is given ("stdin"); messages name it so
---@param text? string  its content; read from `path` unless given
---@param opts? lunadns.corefile.options
---@return lunadns.corefile.config? config
---@return string? err  one line, as CoreDNS prints it
function corefile.read(path, text, opts)
  opts = opts or {}
  local full = setmetatable({
    readfile = opts.readfile or files.read,
    glob = opts.glob or files.glob,
    getenv = opts.getenv or os.getenv,
    cwd = opts.cwd or files.cwd(),
    warn = opts.warn or function() end,
  }, { __index = opts })
  local ok, result = pcall(load, path, text, full) ---@type boolean, any
  if ok then return result end
  if getmetatable(result) == parser.ERROR then return nil, result.text end
  -- Not the user's fault: a defect here or in a function of `opts`.
  error(result, 0)
end

--- Checks that no two blocks serve a zone on one listener; binds are known after the plugins' setup.
--- See lunadns.corefile.keys.
corefile.check_overlap = keys.check_overlap

--- The zones of a plugin's ZONES arguments. See lunadns.corefile.keys.
corefile.origins = keys.origins

--- The parsed tokens as JSON, byte for byte what CoreDNS hashes to see whether a Corefile changed. Comments and
--- indentation do not count; file and line of each token do.
---@param config lunadns.corefile.config
---@return string
function corefile.to_json(config)
  return json.blocks(config.default and {} or config.blocks, config.file)
end

return corefile
