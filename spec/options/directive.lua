--- Directives for the option specs: text to the tokens `schema:parse` takes.
-- It knows words, "quoted words" and blocks, which is what these specs need.

local directive = {}

local function line_tokens(text, number)
  local tokens, at = {}, 1
  while true do
    at = text:find("%S", at)
    if not at then return tokens end
    local quoted = text:sub(at, at) == '"'
    local word, next_at = text:match(quoted and '^"([^"]*)"()' or "^(%S+)()", at)
    tokens[#tokens + 1] = { text = word, file = "Corefile", line = number, quoted = quoted }
    at = next_at
  end
end

--- Reads one directive. Its first line has number `first` (7 when not given).
---@param text string
---@param first? integer
---@return LunaRun
function directive.run(text, first)
  local number, stack, run = (first or 7) - 1, {}, nil
  for line in (text .. "\n"):gmatch("(.-)\n") do
    number = number + 1
    local tokens = line_tokens(line, number)
    local open = #tokens > 0 and tokens[#tokens].text == "{" and not tokens[#tokens].quoted
    if open then tokens[#tokens] = nil end
    if #tokens == 1 and tokens[1].text == "}" then
      stack[#stack] = nil
    elseif #tokens > 0 then
      local name = table.remove(tokens, 1)
      local entry = { name = name, args = tokens, block = open and {} or nil, file = "Corefile", line = number }
      if run then
        local block = stack[#stack]
        block[#block + 1] = entry
      else
        run = entry
      end
      if open then stack[#stack + 1] = entry.block end
    end
  end
  return run
end

--- Parses one directive with a schema.
---@return table? conf
---@return string? err
---@return string[]? warnings
function directive.parse(schema, text, ctx)
  return schema:parse(directive.run(text), ctx or { zones = { "example.org." }, file = "Corefile" })
end

return directive
