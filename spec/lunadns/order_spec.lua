local t = require "dns.test"
local directory = require "spec.lunadns.directory"

--- A plugin that writes its name into the log on the way in.
local function trace(name, place)
  return ([[
local dns = require "dns"
return dns.plugin { name = "%s", %s
  setup = function(_, next, server)
    return function(q) server:log("info", "in") return next(q) end
  end }]]):format(name, place or "")
end

local function way(files, corefile)
  local s = t.server(corefile, { directory = (directory.new(files)) })
  s:log()
  s:query "example.org. A"
  local names = {}
  for name in s:log():gmatch "plugin/(%w+): in" do names[#names + 1] = name end
  s:close()
  return table.concat(names, " ")
end

local FILES = { ["aa.lua"] = trace "aa", ["bb.lua"] = trace "bb", ["cc.lua"] = trace "cc" }

describe("order", function()
  after_each(directory.remove_all)

  it("of a user's plugins is the Corefile's", function()
    assert.equal("bb aa", way(FILES, ". {\n bb\n aa\n whoami\n}"))
  end)

  it("follows before and after", function()
    assert.equal("aa bb", way({ ["aa.lua"] = trace("aa", 'before = "bb",'), ["bb.lua"] = trace "bb" },
      ". {\n bb\n aa\n whoami\n}"))
    assert.equal("bb aa", way({ ["aa.lua"] = trace("aa", 'after = "hosts",'), ["bb.lua"] = trace("bb", 'after = "log",') },
      ". {\n aa\n bb\n whoami\n}"))
  end)

  it("follows chains of them", function()
    assert.equal("cc bb aa", way({ ["aa.lua"] = trace "aa", ["bb.lua"] = trace("bb", 'before = "aa",'),
      ["cc.lua"] = trace("cc", 'before = "bb",') }, ". {\n aa\n bb\n cc\n whoami\n}"))
  end)

  it("is overruled by the Corefile", function()
    assert.equal("cc aa bb", way(FILES, ". {\n aa\n bb\n cc\n order cc before aa\n whoami\n}"))
    assert.equal("aa cc bb", way(FILES, ". {\n aa\n bb\n cc\n order bb after cc\n whoami\n}"))
  end)

  it("names what is not there", function()
    local path = directory.new(FILES)
    local function err(corefile) return select(2, t.try(corefile, { directory = path })) end
    assert.matches("Corefile:3: plugin/order: 'dd' is not in this server block",
      err ". {\n aa\n order dd before aa\n whoami\n}")
    assert.matches("Corefile:3: plugin/order: before 'dd': there is no plugin of that name",
      err ". {\n aa\n order aa before dd\n whoami\n}")
    assert.matches("Corefile:3: order: place: 'beside' is not one of: before, after",
      err ". {\n aa\n order aa beside hosts\n whoami\n}")
    assert.matches("lead in a circle", err ". {\n aa\n bb\n order aa before bb\n order bb before aa\n whoami\n}")
  end)
end)
