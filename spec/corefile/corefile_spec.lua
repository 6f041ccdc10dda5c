local corefile = require "lunadns.corefile"

-- A file system of a few texts under /etc/dns.
local FILES = {
  ["/etc/dns/opts"] = "one 1\ntwo 2",
  ["/etc/dns/log.override"] = "log",
  ["/etc/dns/net.server"] = "example.net {\n whoami\n}",
  ["/etc/dns/uses_snippet"] = "b {\n import s\n}",
  ["/etc/dns/bad"] = "whoami\nnosuch",
  ["/etc/dns/loop_a"] = "import loop_b",
  ["/etc/dns/loop_b"] = "log\nimport loop_a",
  ["/etc/dns/empty"] = "",
}
local KNOWN = { log = true, whoami = true, errors = true, forward = true, foo = true, bar = true }

local function read(text, extra)
  local warnings = {}
  local opts = {
    cwd = "/etc/dns",
    readfile = function(path)
      if path == "/etc/dns/dir" then return nil, "is a directory" end
      if not FILES[path] then return nil, "open " .. path .. ": no such file or directory" end
      return FILES[path]
    end,
    glob = function(pattern)
      if pattern == "/etc/dns/*.server" then return { "/etc/dns/net.server" } end
      if pattern == "/etc/dns/dir" or FILES[pattern] then return { pattern } end
      if pattern:find("[", 1, true) then return nil, "syntax error in pattern" end
      return {}
    end,
    getenv = function(name)
      return ({ ZONE = "example.org", PORT = "1053", SPACES = "a b }", LOOP = "{$LOOP}", NL = "x\ny" })[name]
    end,
    warn = function(message) warnings[#warnings + 1] = message end,
    known = function(name) return KNOWN[name] end,
  }
  for k, v in pairs(extra or {}) do
    opts[k] = v
  end
  local config, err = corefile.read("Corefile", text, opts)
  return config, err, warnings
end

local function words(tokens)
  local out = {}
  for i, token in ipairs(tokens) do
    out[i] = token.text
  end
  return table.concat(out, " ")
end

local function show_block(block)
  local out = {}
  for i, entry in ipairs(block) do
    local text = entry.name.text
    if #entry.args > 0 then text = text .. " " .. words(entry.args) end
    if entry.block then text = text .. " [" .. show_block(entry.block) .. "]" end
    out[i] = text
  end
  return table.concat(out, "; ")
end

-- "zone:port zone:port < directive args [entry; entry] | directive >" for each block.
local function show(config)
  local blocks = {}
  for i, block in ipairs(config.blocks) do
    local names, directives = {}, {}
    for j, key in ipairs(block.keys) do
      names[j] = key.zone .. ":" .. key.port
    end
    for _, directive in ipairs(block.directives) do
      for _, run in ipairs(directive.runs) do
        local text = directive.name
        if #run.args > 0 then text = text .. " " .. words(run.args) end
        if run.block then text = text .. " [" .. show_block(run.block) .. "]" end
        directives[#directives + 1] = text
      end
    end
    blocks[i] = table.concat(names, " ") .. " < " .. table.concat(directives, " | ") .. " >"
  end
  return table.concat(blocks, "\n")
end

describe("corefile structure", function()
  local cases = {
    { "block", ". {\n whoami\n}", ".:53 < whoami >" },
    { "empty block on one line", ". { }", ".:53 <  >" },
    { "two blocks", "a {\n log\n}\nb:54 {\n log\n}", "a.:53 < log >\nb.:54 < log >" },
    { "no braces: the rest of the file", "a b\nlog\nforward . 1.1.1.1", "a.:53 b.:53 < log | forward . 1.1.1.1 >" },
    { "only keys", "a", "a.:53 <  >" },
    { "keys over lines", "a,\nb, c,\nd {\n log\n}", "a.:53 b.:53 c.:53 d.:53 < log >" },
    { "brace on the next line of the keys", "a\n{\n log\n}", "a.:53 < log >" },
    { "options", "a {\n foo x {\n  b c\n  d\n }\n log\n}", "a.:53 < foo x [b c; d] | log >" },
    { "options on one line", "a {\n foo { b c }\n log\n}", "a.:53 < foo [b c] | log >" },
    { "options whose brace is on the next line", "a {\n foo x\n {\n  b c\n }\n log\n}", "a.:53 < foo x [b c] | log >" },
    { "empty options", "a {\n foo { }\n}", "a.:53 < foo [] >" },
    { "nested options", "a {\n foo {\n b {\n c d {\n e\n }\n }\n f\n }\n}", "a.:53 < foo [b [c d [e]]; f] >" },
    { "quoted argument over lines", 'a {\n foo "x\ny" z\n log\n}', "a.:53 < foo x\ny z | log >" },
    { "repeated directive", "a {\n foo 1\n log\n foo 2 {\n  b\n }\n}", "a.:53 < foo 1 | foo 2 [b] | log >" },
    { "missing last brace after options", "a {\n foo {\n b\n }", "a.:53 < foo [b] >" },
    { "CIDR", "10.0.0.0/15 {\n log\n}", "0.10.in-addr.arpa.:53 1.10.in-addr.arpa.:53 < log >" },
    { "no block: the default", "# nothing\n", ".:53 < whoami | log >" },
    { "only snippets: the default", "(s) {\n log\n}", ".:53 < whoami | log >" },
    { "snippet", "(s) {\n log\n foo a\n}\na {\n import s\n errors\n}", "a.:53 < log | foo a | errors >" },
    { "snippet of a block", "(s) {\n a {\n log\n }\n}\nimport s", "a.:53 < log >" },
    { "snippet of options", "(s) {\n b c\n}\na {\n foo {\n import s\n d\n import s\n import s\n }\n}",
      "a.:53 < foo [b c; d; b c; b c] >" },
    { "snippet twice", "(s) {\n foo a\n}\na {\n import s\n import s\n}", "a.:53 < foo a | foo a >" },
    { "snippet in a snippet", "(s) {\n log\n}\n(t) {\n import s\n errors\n}\na {\n import t\n}",
      "a.:53 < log | errors >" },
    { "import as an argument", "a {\n foo import opts\n foo { import x }\n}",
      "a.:53 < foo import opts | foo [import x] >" },
    { "file of options", "a {\n foo {\n import opts\n three 3\n }\n}", "a.:53 < foo [one 1; two 2; three 3] >" },
    { "absolute file", "a {\n import /etc/dns/log.override\n whoami\n}", "a.:53 < log | whoami >" },
    { "glob of blocks", "a {\n log\n}\nimport *.server\nb", "a.:53 < log >\nexample.net.:53 < whoami >\nb.:53 <  >" },
    { "snippet used by a file", "(s) {\n log\n}\nimport uses_snippet", "b.:53 < log >" },
    { "empty file", "a {\n import empty\n log\n}", "a.:53 < log >" },
    { "variables", "{$ZONE}:{%PORT%} {\n foo {$SPACES} x{$UNSET}y {$} {%ZONE {$ZONE\n}",
      "example.org.:1053 < foo a b } xy {$} {%ZONE {$ZONE >" },
    { "variable with a line break", "a {\n foo {$NL}\n log\n}", "a.:53 < foo x\ny | log >" },
    { "Kubernetes default", [[
.:53 {
    errors
    foo {
       lameduck 5s
    }
    bar cluster.local in-addr.arpa ip6.arpa {
       pods insecure
       fallthrough in-addr.arpa ip6.arpa
    }
    forward . /etc/resolv.conf {
       max_concurrent 1000
    }
    import custom/*.override
}
import custom/*.server
]], ".:53 < errors | foo [lameduck 5s] | bar cluster.local in-addr.arpa ip6.arpa "
      .. "[pods insecure; fallthrough in-addr.arpa ip6.arpa] | forward . /etc/resolv.conf [max_concurrent 1000] >" },
  }
  for _, case in ipairs(cases) do
    it(case[1], function()
      local config, err = read(case[2])
      assert.is_nil(err)
      assert.equal(case[3], show(config))
    end)
  end

  it("keeps file and line of every token", function()
    local config = assert(read("a {\n foo {\n  import opts\n }\n}"))
    local directive = config.blocks[1].directives[1]
    assert.same({ "Corefile", 2 }, { directive.file, directive.line })
    local entry = directive.block[2]
    assert.same({ "/etc/dns/opts", 2, 2 }, { entry.name.file, entry.name.line, entry.args[1].line })
    assert.same({ "Corefile", "/etc/dns/opts", Corefile = config.files.Corefile,
      ["/etc/dns/opts"] = FILES["/etc/dns/opts"] }, config.files)
  end)

  it("warns of a pattern that matches nothing", function()
    local _, err, warnings = read("import custom/*.server\na")
    assert.is_nil(err)
    assert.same({ "No files matching import glob pattern: custom/*.server" }, warnings)
  end)

  it("accepts one-line blocks when asked to", function()
    local config = assert(read(". { foo a { b c } }", { one_line = true }))
    assert.equal(".:53 < foo a [b c] >", show(config))
  end)

  it("accepts encrypted keys when asked to", function()
    assert.equal("x.:853 <  >", show(assert(read("tls://x", { encrypted = true }))))
  end)
end)

describe("corefile errors", function()
  local P = " - Error during parsing: "
  local deep = "a {\n foo " .. ("{\n b "):rep(101)
  local cases = {
    { ". {\n nosuch\n}", "Corefile:2" .. P .. "Unknown directive 'nosuch'" },
    { '. {\n "a\nb"\n}', "Corefile:2" .. P .. "Unknown directive 'a\\nb'" },
    { ". {\n import bad\n}", "/etc/dns/bad:2" .. P .. "Unknown directive 'nosuch'" },
    { ". {\n log }\n}", "Corefile:2" .. P .. "Unexpected '}' because no matching opening brace" },
    { ". { foo { b } }", "Corefile:1" .. P .. "Unexpected '}' because no matching opening brace" },
    { "a, {\n}", "Corefile:1" .. P .. "Expected another address but had '{' - check for extra comma" },
    { "a,\n", "Corefile:1" .. P .. "Unexpected EOF" },
    { ". {\n foo {\n b", "Corefile:3" .. P .. "Unexpected EOF" },
    { ". {\n log", "Corefile:2 - Syntax error: Unexpected token 'log', expecting '}'" },
    { ".\n{", "Corefile:2 - Syntax error: Unexpected token '{', expecting '}'" },
    { "(s)\nlog", "Corefile:2 - Syntax error: Unexpected token 'log', expecting '{'" },
    { "(s) {\n log", "Corefile:2 - Syntax error: Unexpected token 'log', expecting '}'" },
    { "(s) {\n}\n(s) {\n}", "Corefile:3" .. P .. "redeclaration of previously declared snippet s" },
    { "(s) {\n import s\n}", "Corefile:3" .. P .. "maximum snippet import depth (10000) exceeded" },
    { "(s) {\n import t\n}\n(t) {\n import s\n}\nimport s",
      "Corefile:5" .. P .. "maximum snippet import depth (10000) exceeded" },
    { "import loop_a", "/etc/dns/loop_b:2" .. P .. "maximum file import depth (10000) exceeded" },
    { ". {\n import\n}", "Corefile:2" .. P .. "Wrong argument count or unexpected line ending after 'import'" },
    { "import a b", "Corefile:1" .. P .. "Import takes only one argument (glob pattern or file)" },
    { 'import ""', "Corefile:1" .. P .. "Import requires a non-empty filepath" },
    { "import {$UNSET}", "Corefile:1" .. P .. "Import requires a non-empty filepath" },
    { "import none", "Corefile:1" .. P .. "File to import not found: none" },
    { "import dir", "Corefile:1" .. P .. "Could not import /etc/dns/dir: is a directory" },
    { "import *a*",
      "Corefile:1" .. P .. "Glob pattern may only contain one wildcard (*), but has others: /etc/dns/*a*" },
    { "import /?/?", "Corefile:1" .. P .. "Glob pattern may only contain one wildcard (*), but has others: /?/?" },
    { "import [ab]",
      "Corefile:1" .. P .. "Glob pattern may only contain one wildcard (*), but has others: /etc/dns/[ab]" },
    { "import [ab", "Corefile:1" .. P .. "Failed to use import pattern [ab: syntax error in pattern" },
    { ". {\n foo {\n } x\n}", "Corefile:3" .. P .. "Unexpected token 'x' after the '}' of 'foo'" },
    { ". {\n foo { } { }\n}", "Corefile:2" .. P .. "Unexpected second '{' after 'foo'" },
    { ". {\n foo {$LOOP}\n}",
      "Corefile:2" .. P .. "environment variable 'LOOP' refers to itself or to more than 1000 others" },
    { deep, "Corefile:102" .. P .. "braces nested deeper than 100 levels" },
    { ".: {\n}", 'error inspecting server blocks: expecting data after last colon: ".:"' },
    { "a..b", "error inspecting server blocks: zone is not a valid domain name: a..b" },
    { "a:70000", "address 70000: invalid port" },
    { "a:-1", "address -1: invalid port" },
    { "a\n{\n}\ntls://example.org {\n}", "Corefile:4 - tls://example.org: encrypted listeners are not available yet; "
      .. "remove the scheme or serve plain dns://" },
    { "unix://a", "Corefile:1 - unix://a: a server cannot listen on unix://; remove the scheme or write dns://" },
  }
  for _, case in ipairs(cases) do
    it(case[2]:sub(1, 110), function()
      local config, err = read(case[1])
      assert.is_nil(config)
      assert.equal(case[2], err)
    end)
  end

  it("bounds repeated imports", function()
    local text = { "(s) {\n log\n}\na {" }
    for i = 1, 11 do
      text[i + 1] = "import s"
    end
    text[#text + 1] = "}"
    local _, err = read(table.concat(text, "\n"), { limits = { snippets = 10 } })
    assert.equal("Corefile:15" .. P .. "maximum snippet import depth (10000) exceeded", err)
    assert.is_nil((read(table.concat(text, "\n"), { limits = { repeated = 10 } })))
    assert.is_table((read(table.concat(text, "\n"))))
  end)

  it("says why the main file cannot be read", function()
    local _, err = corefile.read("/nonexistent/Corefile")
    assert.equal("loading Caddyfile via flag: open /nonexistent/Corefile: no such file or directory", err)
    _, err = corefile.read("/")
    assert.equal("loading Caddyfile via flag: read /: is a directory", err)
  end)

  it("lets a defect through", function()
    assert.has_error(function() read("a\nlog", { known = function() error("broken", 0) end }) end, "broken")
  end)
end)

describe("corefile on a real file system", function()
  local dir
  before_each(function()
    dir = os.tmpname()
    os.remove(dir)
    assert(os.execute("mkdir -p " .. dir .. "/custom") == 0)
    for name, text in pairs { ["b.x"] = "b", ["a.x"] = "a", [".c.x"] = "c", ["d.y"] = "d" } do
      local f = assert(io.open(dir .. "/custom/" .. name, "w"))
      f:write(text, ":5 {\n}\n")
      f:close()
    end
  end)
  after_each(function() os.execute("rm -r " .. dir) end)

  it("reads globs in order, hidden names too, relative to the importing file", function()
    local f = assert(io.open(dir .. "/Corefile", "w"))
    f:write("import custom/*.x\nimport custom/../custom/?.y")
    f:close()
    local config = assert(corefile.read(dir .. "/Corefile"))
    assert.equal("c.:5 <  >\na.:5 <  >\nb.:5 <  >\nd.:5 <  >", show(config))
    assert.equal(dir .. "/custom/d.y", config.files[5])
  end)

  it("matches in directories and refuses to import one", function()
    assert.is_table((corefile.read(dir .. "/Corefile", "import cust*/d.y")))
    local _, err = corefile.read(dir .. "/Corefile", "import cus*")
    local why = ":1 - Error during parsing: Could not import " .. dir .. "/custom: is a directory"
    assert.equal(dir .. "/Corefile" .. why, err)
  end)
end)

describe("corefile JSON", function()
  it("is what CoreDNS hashes", function()
    local config = assert(read('b.:53,\na {\n log\n errors "<x>" {\n }\n log 2\n}'))
    assert.equal('[{"Keys":["b.:53","a"],"Tokens":{"errors":[{"File":"","Line":4,"Text":"errors"},'
      .. '{"File":"","Line":4,"Text":"\\u003cx\\u003e"},{"File":"","Line":4,"Text":"{"},'
      .. '{"File":"","Line":5,"Text":"}"}],'
      .. '"log":[{"File":"","Line":3,"Text":"log"},{"File":"","Line":6,"Text":"log"},'
      .. '{"File":"","Line":6,"Text":"2"}]}}]',
      corefile.to_json(config))
  end)

  it("ignores comments and indentation", function()
    local one, two = assert(read("a {\n log # x\n}")), assert(read("a {\n\tlog\n}\n\n"))
    assert.equal(corefile.to_json(one), corefile.to_json(two))
    assert.are_not.equal(corefile.to_json(one), corefile.to_json(assert(read("a {\n errors\n}"))))
  end)

  it("of an empty file is null", function() assert.equal("null", corefile.to_json(assert(read("")))) end)
end)
