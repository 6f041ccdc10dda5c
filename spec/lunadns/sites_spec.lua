local t = require "dns.test"

local function shown(list)
  local out = {}
  for i, site in ipairs(list) do out[i] = ("%d %s %s"):format(site.number, site.server, site.zone) end
  return out
end

describe("sites", function()
  it("are the zones of a block on each of its addresses, then what is left of each address", function()
    local s = t.server "a. b.:54 {\n bind 192.0.2.1 ::1\n whoami\n}\nc. {\n bind 192.0.2.1\n whoami\n}\nd.:55 {\n whoami\n}"
    local blocks = s.made.blocks
    assert.same({ "0 dns://192.0.2.1:53 a.", "1 dns://[::1]:53 a.", "2 dns://192.0.2.1:54 b.", "3 dns://[::1]:54 b." },
      shown(blocks[1].sites))
    assert.same({ "4 dns://192.0.2.1:53 c." }, shown(blocks[2].sites))
    assert.same({ "5 dns://:55 d." }, shown(blocks[3].sites))
    assert.same({ "6 dns://192.0.2.1:53 dropped", "6 dns://192.0.2.1:53 dropped", "10 dns://:55 dropped" },
      shown { blocks[1].sites[1].rest, blocks[2].sites[1].rest, blocks[3].sites[1].rest })
  end)
  it("of one address answer other classes when a plugin of any of them does", function()
    local s = t.server "a. {\n whoami\n}\nb. {\n forward . 192.0.2.53\n}\nc.:54 {\n whoami\n}"
    assert.rcode("NOERROR", s:query "x.a. A CH")
    assert.rcode("REFUSED", s:query "x.d. A CH")
    assert.rcode("REFUSED", s:query("x.c. A CH", { listener = 1 }))
    assert.rcode("NOERROR", s:query("x.c. A", { listener = 1 }))
  end)
  it("refuse what no zone takes, with or without a plugin that counts it", function()
    for _, counts in ipairs { "", "prometheus\n" } do
      local s = t.server("a. {\n" .. counts .. "whoami\n}\nb. {\n}")
      assert.rcode("NOERROR", s:query "x.a. A")
      assert.rcode("REFUSED", s:query "x.b. A")
      assert.rcode("REFUSED", s:query "x.c. A")
    end
  end)
end)
