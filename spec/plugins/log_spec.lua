local t = require "dns.test"

local function block(lines) return t.server(". {\n" .. lines .. "\n forward . 192.0.2.53\n}") end

local UPSTREAM = {
  ["data.example.org. A"] = "data.example.org. 60 IN A 192.0.2.1",
  ["nodata.example.org. A"] = { authority = "example.org. 60 IN SOA ns. host. 1 2 3 4 60" },
  ["none.example.org. A"] = { rcode = "NXDOMAIN", authority = "example.org. 60 IN SOA ns. host. 1 2 3 4 60" },
  ["sub.example.org. A"] = { authority = "sub.example.org. 60 IN NS ns.sub.example.org." },
  ["fail.example.org. A"] = { rcode = "SERVFAIL" },
  ["refused.example.org. A"] = { rcode = "REFUSED" },
  ["odd.example.org. A"] = { rcode = "NXDOMAIN", answer = "odd.example.org. 60 IN CNAME none.example.org." },
  ["lost.example.org. A"] = { code = "connect" },
  ["old.example.org. A"] = "old.example.org. 60 IN A 192.0.2.1\n" ..
    "old.example.org. 60 IN RRSIG A 8 3 60 20200101000000 20190101000000 1 example.org. AAAA",
  default = { rcode = "NXDOMAIN" },
}

--- The names that were logged of all of the above.
local function logged(s, options)
  s:upstream(UPSTREAM)
  s:log()
  for _, name in ipairs { "data", "nodata", "none", "sub", "fail", "refused", "odd", "lost", "old" } do
    s:query(name .. ".example.org. A", options)
  end
  local names = {}
  for name in s:log():gmatch "IN (%w+)%.example%.org%. udp" do names[#names + 1] = name end
  return table.concat(names, " ")
end

describe("log", function()
  it("writes CoreDNS's common line", function()
    local s = t.server ". {\n log\n whoami\n}"
    s:query("EXAMPLE.org. MX", { id = 29008, edns = 4096 })
    assert.matches('^%[INFO%] 10%.240%.0%.1:40212 %- 29008 "MX IN example%.org%. udp 40 false 4096" NOERROR ' ..
      "qr,aa,rd %d+ [%d.]+s\n$", s:log())
  end)
  it("writes what the client gets when no plugin wrote a reply", function()
    local s = t.server ". {\n log\n hosts /dev/null\n}"
    assert.rcode("SERVFAIL", s:query("example.org. A", { id = 7 }))
    assert.matches('7 "A IN example.org. udp 29 false 512" SERVFAIL qr,rd 29 ', s:log(), 1, true)
  end)
  it("takes a name alone as a scope", function()
    local s = t.server ". {\n log example.org\n whoami\n}"
    s:query "www.Example.org. A"
    assert.matches("www.example.org.", s:log(), 1, true)
    s:query "example.net. A"
    assert.equal("", s:log())
    s = t.server '. {\n log "{remote}"\n whoami\n}'
    s:query "example.org. A"
    assert.equal("", s:log())
  end)
  it("takes names and a format", function()
    local s = t.server '. {\n log example.org example.net "{type} {name} {rcode}"\n whoami\n}'
    s:query "a.example.net. TXT"
    s:query "example.com. A"
    s:query "example.org. AAAA"
    assert.equal("[INFO] TXT a.example.net. NOERROR\n[INFO] AAAA example.org. NOERROR\n", s:log())
    s = t.server '. {\n log . "{combined} x"\n whoami\n}'
    s:query "example.org. A"
    assert.matches('s "0" x\n$', s:log())
  end)
  it("takes a last word without a brace as one more name", function()
    local s = t.server ". {\n log example.org example.net\n whoami\n}"
    s:query "example.net. A"
    assert.matches("example.net.", s:log(), 1, true)
  end)
  it("lets the first line that fits a name decide", function()
    local s = t.server('. {\n log org "1 {name}" {\n  class error\n }\n log example.org "2 {name}"\n' ..
      ' log . "3 {name}"\n whoami\n}')
    for _, name in ipairs { "example.org", "example.net", "org" } do s:query(name .. ". A") end
    assert.equal("[INFO] 3 example.net.\n", s:log())
  end)
  it("keeps to classes", function()
    assert.equal("data sub old", logged(block " log . {\n class success\n }"))
    assert.equal("nodata none", logged(block " log . {\n class denial\n }"))
    assert.equal("fail refused odd lost", logged(block " log . {\n class error\n }"))
    assert.equal("nodata none fail refused odd lost", logged(block " log . {\n class denial error\n }"))
    assert.equal("data nodata none sub old", logged(block " log . {\n class success\n class denial\n }"))
    local all = "data nodata none sub fail refused odd lost old"
    assert.equal(all, logged(block " log . {\n class denial all\n }"))
    assert.equal(all, logged(block " log"))
  end)
  it("takes a signature that has expired for an error, when the client asks for signatures", function()
    assert.equal("data sub", logged(block " log . {\n class success\n }", { ["do"] = true }))
  end)
  it("passes errors on", function()
    local s = block " errors\n log"
    s:upstream { default = { code = "connect" } }
    s:query "example.org. A"
    assert.matches("[ERROR] plugin/errors: 2 example.org. A: ", s:log(), 1, true)
  end)
  it("tells the type and class of a reply in its own lines, with `metadata` in the block", function()
    local s = block ' metadata example.net\n log . "{name} {/log/class} {/log/type} {/log/other}"'
    s:upstream(UPSTREAM)
    for _, name in ipairs { "data", "nodata", "none", "sub", "fail", "refused", "odd", "lost" } do
      s:query(name .. ".example.org. A")
    end
    s:query("old.example.org. A", { ["do"] = true })
    assert.equal("data success NOERROR -\nnodata denial NODATA -\nnone denial NXDOMAIN -\nsub success DELEGATION -\n" ..
      "fail error SERVERERROR -\nrefused error OTHERERROR -\nodd error OTHERERROR -\nlost error SERVERERROR -\n" ..
      "old error OTHERERROR -\n", (s:log():gsub("%[INFO%] ", ""):gsub("%.example%.org%.", "")))
    s = t.server '. {\n log . "{/log/class} {/log/type}"\n forward . 192.0.2.53\n}'
    s:query "example.org. A"
    assert.equal("[INFO] - -\n", s:log())
  end)
  it("explains a wrong Corefile", function()
    assert.corefile_error("Corefile:3: log: class: 'sucess' is not one of: success, denial, error, all",
      ". {\n log {\n class sucess\n }\n}")
    assert.corefile_error("class", ". {\n log {\n class\n }\n}")
    assert.corefile_error("unknown property 'clas'", ". {\n log {\n clas error\n }\n}")
    assert.corefile_error("plugin/log: 'a..b' is not a domain name", ". {\n log a..b\n}")
  end)
  it("stays compiled and allocates nothing", function()
    local s = t.server ". {\n log\n whoami\n}"
    assert.hot(s, { "example.org. A", "x.example.org. A" })
    s = t.server '. {\n log example.org "{name} {rcode}"\n log . {\n  class denial error\n }\n whoami\n}'
    assert.hot(s, { "example.org. A", "example.net. A" })
  end)
end)
