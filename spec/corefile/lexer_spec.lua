local lexer = require "lunadns.corefile.lexer"

-- Tokens as "LINE:TEXT" strings.
local function lex(text)
  local out = {}
  for i, token in ipairs(lexer.tokenize(text, "F")) do
    out[i] = token.line .. ":" .. token.text
  end
  return out
end

describe("corefile lexer", function()
  local cases = {
    { "one word", "zone:53", { "1:zone:53" } },
    { "blank lines count", "a\n\n b", { "1:a", "3:b" } },
    { "braces are words", "a {\n b\n}", { "1:a", "1:{", "2:b", "3:}" } },
    { "brace glued to a word is part of it", "a{ }b", { "1:a{", "1:}b" } },
    { "comments", "a # x {\n#y\nb", { "1:a", "3:b" } },
    { "hash ends a word", "foo#bar\nx", { "1:foo", "2:x" } },
    { "hash in a word hides up to white space", "foo#bar baz", { "1:foo", "1:baz" } },
    { "hash in quotes", '"a # b" c', { "1:a # b", "1:c" } },
    { "quotes", 'a "b c" d', { "1:a", "1:b c", "1:d" } },
    { "escaped quote", [["say \"hi\" now"]], { '1:say "hi" now' } },
    { "other backslashes stay", [["a\.b\\c\n"]], { [[1:a\.b\\c\n]] } },
    { "pair of backslashes does not end the escape", [["a\\" b]], { [[1:a\\]], "1:b" } },
    { "quote in mid-word is literal", [[a"b c"]], { [[1:a"b]], [[1:c"]] } },
    { "word after closing quote", [["a"b]], { "1:a", "1:b" } },
    { "empty quotes", 'a "" b', { "1:a", "1:", "1:b" } },
    { "newlines in quotes count", '"a\nb" c\nd', { "1:a\nb", "2:c", "3:d" } },
    { "unterminated", 'x "abc', { "1:x", "1:abc" } },
    { "unterminated, dangling escape", 'x "abc\\', { "1:x", "1:abc" } },
    { "unterminated and empty", 'x "', { "1:x" } },
    { "carriage returns", "a\r\nb\rc\r\n", { "1:a", "2:bc" } },
    { "carriage return in quotes", '"a\r"', { "1:a\r" } },
    { "byte order mark", "\239\187\191a", { "1:a" } },
    { "second byte order mark is text", "\239\187\191\239\187\191", { "1:\239\187\191" } },
    { "Unicode spaces", "a\194\160b\227\128\128c\226\128\131d\225\154\128e\194\133f",
      { "1:a", "1:b", "1:c", "1:d", "1:e", "1:f" } },
    { "letters with the lead byte of a space", "\194\169\226\130\172 x", { "1:\194\169\226\130\172", "1:x" } },
    { "invalid bytes", "a\255b \237\160\128", { "1:a\239\191\189b", "1:" .. ("\239\191\189"):rep(3) } },
    { "NUL is text", "a\0b", { "1:a\0b" } },
    { "nothing", "", {} },
    { "only space", " \t\n\v\f ", {} },
  }
  for _, case in ipairs(cases) do
    it(case[1], function() assert.same(case[3], lex(case[2])) end)
  end

  it("tells file, end line and quoting", function()
    assert.same({ text = "a\nb", file = "F", line = 2, last = 3, quoted = true }, lexer.tokenize('\n"a\nb"', "F")[1])
  end)
end)
