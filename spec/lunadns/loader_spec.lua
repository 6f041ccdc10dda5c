local t = require "dns.test"
local directory = require "spec.lunadns.directory"

local function plugin(name, body)
  return ([[
local dns = require "dns"
return dns.plugin {
  name = "%s",
  setup = function(_, next, server)
%s
  end,
}
]]):format(name, body)
end

local function answer(name, address)
  return plugin(name, ('return function(q) return q:answer_address("%s", 60) end'):format(address))
end

local function serve(files, corefile)
  return t.server(corefile, { directory = (directory.new(files)) })
end

local function wrong(files, corefile)
  local s, err = t.try(corefile, { directory = (directory.new(files)) })
  assert.is_nil(s)
  return err
end

describe("the plugin path", function()
  after_each(directory.remove_all)

  it("has the Corefile's directory before plugins/ beside it", function()
    local s = serve({ ["mine.lua"] = answer("mine", "192.0.2.1"), ["plugins/mine.lua"] = answer("mine", "192.0.2.2"),
      ["plugins/other.lua"] = answer("other", "192.0.2.3") }, "a. {\n mine\n}\nb. {\n other\n}")
    assert.answer("x.a. 60 IN A 192.0.2.1", s:query "x.a. A")
    assert.answer("x.b. 60 IN A 192.0.2.3", s:query "x.b. A")
  end)

  it("is where a near directive is looked for when there is none of a name", function()
    local files = { ["sinkhole.lua"] = answer("sinkhole", "192.0.2.1"),
      ["plugins/tarpit/init.lua"] = answer("tarpit", "192.0.2.2") }
    local function says(name, text)
      local err = wrong(files, (". {\n %s x\n}"):format(name))
      assert.equal("Corefile:2 - Error during parsing: Unknown directive '" .. name .. "'" .. text, (err:gsub("^.*/", "")))
    end
    says("frward", "; did you mean 'forward'?")
    says("Forward", "; did you mean 'forward'?")
    says("prometeus", "; did you mean 'prometheus'?")
    says("sinkole", "; did you mean 'sinkhole'?")
    says("tarpitt", "; did you mean 'tarpit'?")
    says("rewrit", "; did you mean 'rewrite'?")
    says("banana", "; `lunadns -plugins` lists the directives, and banana.lua beside the Corefile would be this one")
    says("a:b", "; `lunadns -plugins` lists the directives")
  end)

  it("takes a folder with init.lua, and modules in it", function()
    local s = serve({
      ["mine/init.lua"] = plugin("mine", [[
        local address = require "mine.address"
        return function(q) return q:answer_address(address.text, 60) end]]),
      ["mine/address.lua"] = 'local more = require "shared_part" return { text = more }',
      ["shared_part.lua"] = 'return "192.0.2.9"',
    }, ". {\n mine\n}")
    assert.answer("x. 60 IN A 192.0.2.9", s:query "x. A")
  end)

  it("lets a file of the user's stand for a plugin of the binary", function()
    local s = serve({ ["whoami.lua"] = answer("whoami", "192.0.2.7") }, ". {\n whoami\n}")
    assert.answer("x. 60 IN A 192.0.2.7", s:query "x. A")
  end)

  it("says where it looked for a module", function()
    local err = wrong({ ["mine.lua"] = 'local x = require "nowhere.at_all"\nreturn x' }, ". {\n mine\n}")
    assert.matches("Corefile:2 %- .*mine%.lua:1: module 'nowhere%.at_all' not found: looked for .*/nowhere/at_all%.lua", err)
  end)

  it("names a circle of modules", function()
    local err = wrong({ ["mine.lua"] = 'require "a"', ["a.lua"] = 'require "b"', ["b.lua"] = 'require "a"' },
      ". {\n mine\n}")
    assert.matches("b%.lua:1: require 'a': it requires itself", err)
  end)

  it("gives file and line of a syntax error", function()
    assert.matches("/mine%.lua:2: ", wrong({ ["mine.lua"] = "local x = 1\nlocal = 2" }, ". {\n mine\n}"))
  end)

  it("wants file and name to agree, and a plugin at all", function()
    assert.matches("calls itself 'other'; file and name must agree", wrong({ ["mine.lua"] = answer("other", "::1") },
      ". {\n mine\n}"))
    assert.matches("must end with `return dns%.plugin", wrong({ ["mine.lua"] = "return 1" }, ". {\n mine\n}"))
  end)
end)

describe("globals of plugins", function()
  after_each(directory.remove_all)

  it("are known, or the file is refused with the line and a suggestion", function()
    local err = wrong({ ["mine.lua"] = plugin("mine", "return function(q) return strng.len(q) end") }, ". {\n mine\n}")
    assert.matches("mine%.lua:5: unknown global 'strng'; did you mean 'string'%?", err)
  end)

  it("cannot be set", function()
    local err = wrong({ ["mine.lua"] = plugin("mine", "count = 0\nreturn next") }, ". {\n mine\n}")
    assert.matches("mine%.lua:5: globals are read%-only: write `local count`", err)
    err = wrong({ ["mine.lua"] = plugin("mine", "_G.count = 0\nreturn next") }, ". {\n mine\n}")
    assert.matches("mine%.lua:5: globals are read%-only", err)
    err = wrong({ ["mine.lua"] = plugin("mine", "string.trim = 0\nreturn next") }, ". {\n mine\n}")
    assert.matches("mine%.lua:5: string%.trim cannot be set", err)
  end)

  it("are the same for code made at run time", function()
    local err = wrong({ ["mine.lua"] = plugin("mine", "return loadstring('return prnt')()") }, ". {\n mine\n}")
    assert.matches("unknown global 'prnt'; did you mean 'print'%?", err)
  end)

  it("print to the log", function()
    local s = serve({ ["mine.lua"] = plugin("mine", 'print("seen", 1)\nreturn next') }, ". {\n mine\n whoami\n}")
    assert.matches("%[INFO%] plugin/mine: seen\t1", s:log())
  end)
end)
