local options = require "lunadns.options"

local function refuses(title, specs, expected, other)
  it("refuses " .. title, function()
    local fine, err = pcall(options.compile, "demo", specs, other)
    assert.is_false(fine)
    assert.are.equal("plugin demo: " .. expected, err)
  end)
end

describe("options.compile", function()
  refuses("an unknown type", { a = { type = "ipp" } }, "options: a: unknown type 'ipp'; did you mean 'ip'?")
  refuses("an unknown type of an argument", { { "a", type = "nonsense" } }, "options: a: unknown type 'nonsense'")
  refuses("an unknown field", { a = { type = "int", maxx = 1 } },
    "options: a: unknown field 'maxx'; did you mean 'max'?")
  refuses("an unknown field of an argument", { { "a", typ = "int" } },
    "options: argument 1: unknown field 'typ'; did you mean 'type'?")
  refuses("an argument without a name", { { type = "int" } },
    "options: argument 1: needs a name: { \"zone\", type = \"zone\" }")
  refuses("an option without a type", { a = { doc = "x" } }, "options: a: needs a 'type'")
  refuses("an option that is no table", { a = 1 }, "options: a: expected a table, found a number")
  refuses("options that are no table", "x", "options: expected a table, found a string")
  refuses("a name given twice", { { "a" }, { "a" } }, "options: a: the name is given twice")
  refuses("an argument and an option of one name", { { "a" }, a = { type = "int" } },
    "options: a: is both an argument and an option")
  refuses("two rest arguments", { { "a", rest = true }, { "b", type = "list" } },
    "options: b: only one argument can be 'rest'")
  refuses("a default of another type", { a = { type = "int", default = true } },
    "options: a: 'default' must be a number, found a boolean")
  refuses("a default that is no value of the type", { a = { type = "ip", default = "banana" } },
    "options: a: 'default': 'banana' is not an IP address")
  refuses("a default out of range", { a = { type = "int", default = 3, max = 2 } },
    "options: a: 'default' is out of its own range")
  refuses("a default of a required option", { a = { type = "int", default = 3, required = true } },
    "options: a: 'required' and 'default' exclude each other")
  refuses("a rest default that is no list", { a = { type = "list", default = "x" } },
    "options: a: 'default' must be a list, found a string")
  refuses("limits of text", { a = { type = "string", min = 1 } },
    "options: a: 'min' and 'max' do not go with type = \"string\"")
  refuses("limits the wrong way round", { a = { type = "int", min = 2, max = 1 } }, "options: a: 'min' is above 'max'")
  refuses("an enum without words", { a = { type = "enum" } }, "options: a: an enum needs 'values'")
  refuses("words without an enum", { a = { type = "int", values = { "a" } } },
    "options: a: 'values' goes with type = \"enum\" only")
  refuses("a check that is no function", { a = { type = "int", check = true } },
    "options: a: 'check' must be a function")
  refuses("an 'other' that is no function", {}, "options: 'other' must be a function", 1)
  refuses("a parser beside a block", { a = { parse = print, block = {} } },
    "options: a: 'parse' excludes 'block' and 'args'")
  refuses("a wrong nested option", { a = { block = { b = { type = "x1" } } } }, "options: a: b: unknown type 'x1'")
  refuses("a wrong argument of an option", { a = { args = { { "n", type = "int", required = true } } } },
    "options: a: n: an option's arguments are required unless 'optional'")
  refuses("a wrong unit", { a = { type = "duration", bare = "d" } },
    "options: a: 'bare' must be a unit of time, such as \"s\"")

  it("takes defaults and limits as a user would write them", function()
    local schema = options.compile("demo", {
      { "size", type = "size", default = "64MB" },
      a = { type = "duration", default = "90s", min = "1m", max = "1h" },
    })
    local conf = schema:parse({ args = {} }, {})
    assert.are.same({ size = 64 * 2 ^ 20, a = 90 }, conf)
  end)

  it("takes a plugin without options", function()
    assert.are.same({}, (options.compile("loop"):parse({ args = {} }, {})))
  end)
end)
