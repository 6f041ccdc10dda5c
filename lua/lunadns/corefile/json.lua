--- The canonical JSON of parsed server blocks, equal to what Go's encoding/json makes of CoreDNS's own.
local utf8 = require "lunadns.corefile.utf8"

local byte, format, gsub = string.byte, string.format, string.gsub

local json = {}

local SHORT = {
  ['"'] = '\\"', ["\\"] = "\\\\", ["\b"] = "\\b", ["\f"] = "\\f", ["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t",
}

local function escape(c) return SHORT[c] or format("\\u%04x", byte(c)) end

local function quote(text)
  text = gsub(utf8.valid(text), '[%z\1-\31"\\<>&]', escape)
  text = gsub(text, "\226\128[\168\169]", { ["\226\128\168"] = "\\u2028", ["\226\128\169"] = "\\u2029" })
  return '"' .. text .. '"'
end

local function list(items, open, close) return open .. table.concat(items, ",") .. close end

local function token_json(token, main)
  local file = token.file == main and "" or token.file
  return format('{"File":%s,"Line":%d,"Text":%s}', quote(file), token.line, quote(token.text))
end

--- Server blocks with the keys as written and the tokens of each directive, directives sorted by name.
---@param blocks lunadns.corefile.block[]
---@param main string  the main file: its tokens carry no file name
---@return string
function json.blocks(blocks, main)
  if #blocks == 0 then return "null" end
  local out = {}
  for i, block in ipairs(blocks) do
    local written, names, by_name = {}, {}, {}
    for j, text in ipairs(block.written) do
      written[j] = quote(text)
    end
    for j, directive in ipairs(block.directives) do
      names[j], by_name[directive.name] = directive.name, directive
    end
    table.sort(names)
    local directives = {}
    for j, name in ipairs(names) do
      local tokens = {}
      for k, token in ipairs(by_name[name].tokens) do
        tokens[k] = token_json(token, main)
      end
      directives[j] = quote(name) .. ":" .. list(tokens, "[", "]")
    end
    out[i] = format('{"Keys":%s,"Tokens":%s}', list(written, "[", "]"), list(directives, "{", "}"))
  end
  return list(out, "[", "]")
end

return json
