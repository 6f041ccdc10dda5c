local dns = require "dns"

describe("dns.json", function()
  local decode = dns.json.decode

  it("reads values of every kind", function()
    assert.same({ a = { 1, -2.5, 3e2, 0 }, b = true, c = false, e = {}, f = {}, ["g h"] = "x" },
      decode ' {"a" : [1,-2.5, 3E+2,0],\n"b":true,"c":false,"d":null,"e":{},"f":[ ], "g h":"x"}\n')
    assert.equal("text", decode '"text"')
    assert.equal(7, decode " 7 ")
    assert.is_nil(decode "null")
    assert.is_nil(select(2, decode "null"))
    assert.equal(3, decode("[1,null,3]")[3])
  end)
  it("reads strings with escapes", function()
    assert.equal('a"\\/\b\f\n\r\tb', decode [["a\"\\\/\b\f\n\r\tb"]])
    assert.equal("\195\164 \226\130\172 \240\159\152\128 \195\164", decode '"\\u00e4 \\u20AC \\ud83d\\ude00 \195\164"')
  end)
  it("says where a text is wrong", function()
    for text, why in pairs {
      [""] = "line 1, column 1: expected a value, found the end",
      ["{\n \"a\" 1}"] = "line 2, column 6: expected ':', found \"1}\"",
      ["{a:1}"] = "column 2: expected a name in quotes, found \"a:1}\"",
      ["[1 2]"] = "column 4: expected ',' or ']', found \"2]\"",
      ["[1,]"] = "column 4: expected a value",
      ["[1"] = "expected ',' or ']', found the end",
      ["01"] = "expected a value",
      ["nul"] = "expected a value",
      ["1 2"] = "column 3: expected the end, found \"2\"",
      ['"a'] = "expected the end of a string, found the end",
      ['"a\nb"'] = "expected the end of a string",
      ['"\\x"'] = "expected an escape",
      ['"\\ud800"'] = "expected both halves",
      ['"\\udc00"'] = "expected both halves",
      [("["):rep(70)] = "expected at most 64 levels",
    } do
      local value, err = decode(text)
      assert.is_nil(value)
      assert.is_truthy(err:find(why, 1, true), err)
    end
    assert.error_matches(function() decode(nil) end, "dns.json.decode: expected a string, found a nil")
  end)
end)
