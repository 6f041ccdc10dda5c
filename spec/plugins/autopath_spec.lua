--- Plugin autopath: case 120, search lists of a file, and what ends the walk.
local cluster = require "spec.plugins.kubernetes.cluster"
local fixture = require "spec.plugins.kubernetes.fixture"
local t = require "dns.test"

local path = os.tmpname()
local UP = {
  ["b.com. A"] = { answer = "b.com. 60 IN A 127.0.0.53" },
  ["a.example.com. A"] = { answer = "a.example.com. 60 IN A 127.0.0.54" },
  ["nodata.com. A"] = {}, ["nosuchsvc.example. A"] = { answer = "nosuchsvc.example. 60 IN A 192.0.2.81" },
  default = { rcode = "NXDOMAIN" },
}

local function file(text)
  local f = assert(io.open(path, "w"))
  f:write(text)
  f:close()
end

local function server(line, more)
  local s = t.server((". {\n %s\n %s\n forward . 192.0.2.1\n}"):format(line, more or ""))
  s:upstream(UP)
  return s
end

describe("autopath", function()
  teardown(function()
    os.remove(path)
    t.close_all()
  end)

  describe("by a file", function()
    local s
    setup(function()
      file "nameserver 192.0.2.53\ndomain ignored.example\nsearch example.org Example.com com\n"
      s = server("autopath " .. path)
    end)

    it("answers with what the search list leads to, behind a CNAME", function()
      local reply = s:query "b.example.org. A"
      assert.same({ "b.example.org. 60 IN CNAME b.com.", "b.com. 60 IN A 127.0.0.53" }, reply.answer)
    end)
    it("keeps the letter case of the question", function()
      assert.same({ "B.Example.ORG. 60 IN CNAME B.com.", "B.com. 60 IN A 127.0.0.53" }, s:query("B.Example.ORG. A").answer)
    end)
    it("passes other names on", function()
      local before = #s.asked
      assert.answer("a.example.com. 60 IN A 127.0.0.54", s:query "a.example.com. A")
      assert.rcode("NXDOMAIN", s:query "example.org. A")
      assert.equal(before + 2, #s.asked)
    end)
    it("takes an empty answer too, and gives the first denial when there is none", function()
      local reply = s:query "nodata.example.org. A"
      assert.rcode("NOERROR", reply)
      assert.same({}, reply.answer)
      local before = #s.asked
      assert.rcode("NXDOMAIN", s:query "c.example.org. A")
      assert.equal(before + 4, #s.asked)
      assert.same("c. A", s.asked[#s.asked].question)
    end)
    it("counts what it found", function()
      local before = s:metric "coredns_autopath_success_total"
      s:query "b.example.org. A"
      s:query "c.example.org. A"
      assert.equal(before + 1, s:metric "coredns_autopath_success_total")
    end)
    it("ends with an error of the chain", function()
      s:upstream { ["b.com. A"] = { code = "timeout" }, default = { rcode = "NXDOMAIN" } }
      assert.rcode("SERVFAIL", s:query "b.example.org. A")
      s:upstream(UP)
    end)
  end)

  it("keeps to its zones", function()
    file "search example.org com\n"
    local s = server(("autopath example.net %s"):format(path))
    assert.rcode("NXDOMAIN", s:query "b.example.org. A")
    assert.equal(1, #s.asked)
  end)

  it("case 120: by the pod that asks", function()
    local s = cluster.server("pods verified\nttl 30", fixture,
      { before = "autopath @kubernetes\ncache", after = "forward . 192.0.2.1" })
    s:upstream(UP)
    local pod = { client = "10.244.2.1:4000" }
    assert.same({ "nosuchsvc.example.ns-a.svc.cluster.local. 60 IN CNAME nosuchsvc.example.",
      "nosuchsvc.example. 60 IN A 192.0.2.81" }, s:query("nosuchsvc.example.ns-a.svc.cluster.local. A", pod).answer)
    assert.same({ "web.ns-b.ns-a.svc.cluster.local. 30 IN CNAME web.ns-b.svc.cluster.local.",
      "web.ns-b.svc.cluster.local. 30 IN A 10.96.2.1" }, s:query("web.ns-b.ns-a.svc.cluster.local. A", pod).answer)
    assert.answer("web.ns-a.svc.cluster.local. 30 IN A 10.96.1.1", s:query("web.ns-a.svc.cluster.local. A", pod))
    -- Another namespace's list is not this pod's; nor has a client that is no pod one.
    assert.rcode("NXDOMAIN", s:query("nosuchsvc.example.ns-b.svc.cluster.local. A", pod))
    assert.rcode("NXDOMAIN", s:query "nosuchsvc.example.ns-a.svc.cluster.local. A")
    assert.rcode("NXDOMAIN", s:query("none.test.ns-a.svc.cluster.local. A", pod))
    -- The address is another pod's now.
    cluster.event(s, "DELETED", cluster.pod("ns-a/p1", "Running", "10.244.2.1"))
    cluster.event(s, "ADDED", cluster.pod("ns-b/p9", "Running", "10.244.2.1"))
    assert.rcode("NXDOMAIN", s:query("nosuchsvc.example.ns-a.svc.cluster.local. A", pod))
    assert.equal(2, #s:query("nosuchsvc.example.ns-b.svc.cluster.local. A", pod).answer)
  end)
  it("says when it knows no pods", function()
    local s = cluster.server("pods insecure", fixture, { before = "autopath @kubernetes", after = "forward . 192.0.2.1" })
    assert.matches("[WARNING] plugin/autopath: @kubernetes needs `pods verified`", s:log(), 1, true)
    s:upstream(UP)
    assert.rcode("NXDOMAIN", s:query("nosuchsvc.example.ns-a.svc.cluster.local. A", { client = "10.244.2.1:4000" }))
  end)
  it("stays compiled and allocates nothing where it has nothing to do", function()
    local s = cluster.server("pods verified", fixture, { before = "autopath @kubernetes" })
    assert.hot(s, { "web.ns-a.svc.cluster.local. A", "nosuch.ns-b.svc.cluster.local. A" })
  end)
  it("explains a wrong Corefile", function()
    assert.corefile_error("no resolv-conf specified", ". {\n autopath\n}")
    assert.corefile_error('failed to parse "/nowhere/resolv.conf"', ". {\n autopath /nowhere/resolv.conf\n}")
    assert.corefile_error("etcd does not implement the AutoPather interface", ". {\n autopath @etcd\n}")
  end)
end)
