--- The numbered cases 1 to 94: what each question of fixture K is answered with.
local cluster = require "spec.plugins.kubernetes.cluster"
local fixture = require "spec.plugins.kubernetes.fixture"

local UPSTREAM = {
  ["ext.example. A"] = { answer = "ext.example. 60 IN A 192.0.2.80" },
  ["ext.example. AAAA"] = { answer = "ext.example. 60 IN AAAA 2001:db8::80" },
  ["99.99.99.10.in-addr.arpa. PTR"] = { answer = "99.99.99.10.in-addr.arpa. 60 IN PTR up.example." },
  default = { rcode = "NXDOMAIN" },
}

--- "web.ns-a" is short for the service; names with a final dot are whole.
local function whole(name) return name:find "%.$" and name or name .. ".svc.cluster.local." end

local function zone_of(name) return name:lower():match "(in%-addr%.arpa%.)$" or name:lower():match "(ip6%.arpa%.)$"
  or "cluster.local." end

local function records(question, list)
  local out = {}
  for i, text in ipairs(list) do
    if text:find " IN " then
      out[i] = text
    else
      local kind, data = text:match "^(%u+) (.*)$"
      out[i] = ("%s 30 IN %s %s"):format(question:match "^%S+", kind, data)
    end
  end
  return out
end

--- An empty answer with this rcode and the zone's SOA.
local function denied(rcode)
  return function(reply, question)
    assert.rcode(rcode, reply)
    assert.same({}, reply.answer)
    local zone = zone_of(question:match "^%S+")
    assert.matches(("^%s 30 IN SOA ns.dns.%s hostmaster.%s %%d+ 7200 1800 86400 30$"):format(zone, zone, zone):gsub("%-", "%%-"),
      reply.authority[1]:lower():gsub(" in soa ", " IN SOA "))
  end
end

local NX, ND = denied "NXDOMAIN", denied "NOERROR"

--- Exactly these records, each "TYPE DATA", or whole; and in the additional section the others.
local function answer(list, extra)
  return function(reply, question)
    assert.rcode("NOERROR", reply)
    assert.answer(records(question, list), reply)
    local additional = reply.additional
    table.sort(additional)
    table.sort(extra or {})
    assert.same(extra or {}, additional)
  end
end

local function A(...)
  local list = {}
  for i, ip in ipairs { ... } do list[i] = (ip:find ":" and "AAAA " or "A ") .. ip end
  return answer(list)
end

local function at(name, ...)
  local out = {}
  for i, ip in ipairs { ... } do
    out[i] = ("%s.svc.cluster.local. 30 IN %s %s"):format(name, ip:find ":" and "AAAA" or "A", ip)
  end
  return out
end

local function srv(name, weight, ...)
  local out = {}
  for i, port in ipairs { ... } do out[i] = ("SRV 0 %d %d %s.svc.cluster.local."):format(weight, port, name) end
  return unpack(out)
end

local WEB = at("web.ns-a", "10.96.1.1")
local HL = { "10.244.2.1", "10.244.2.2", "10.244.2.3", "10.244.2.6" }

local function back(address)
  if not address:find ":" then return address:gsub("(%d+)%.(%d+)%.(%d+)%.(%d+)", "%4.%3.%2.%1") .. ".in-addr.arpa." end
  local left, right = address:match "^(.*)::(.*)$"
  local function nibbles(text) return (text:gsub("[^:]+:?", function(g) return ("0000" .. g:gsub(":", "")):sub(-4) end)) end
  left, right = nibbles(left), nibbles(right)
  return (left .. ("0"):rep(32 - #left - #right) .. right):reverse():gsub(".", "%0.") .. "ip6.arpa."
end

local function PTR(...)
  local list = {}
  for i, name in ipairs { ... } do list[i] = ("PTR %s.svc.cluster.local."):format(name) end
  return answer(list)
end

local function hl_targets(weight, ...)
  local list = {}
  for _, name in ipairs { "pod-0", "pod-1", "10-244-2-3", "fd00-10-244-2--7" } do
    for _, record in ipairs { srv(name .. ".hl.ns-a", weight, ...) } do list[#list + 1] = record end
  end
  local extra = at("pod-0.hl.ns-a", "10.244.2.1", "10.244.2.6", "fd00:10:244:2::1")
  for _, own in ipairs { at("pod-1.hl.ns-a", "10.244.2.2"), at("10-244-2-3.hl.ns-a", "10.244.2.3"),
    at("fd00-10-244-2--7.hl.ns-a", "fd00:10:244:2::7") } do
    extra[#extra + 1] = own[1]
  end
  return answer(list, extra)
end

local EXT = "ext.ns-a.svc.cluster.local. 30 IN CNAME ext.example."
local IN = "ext-in.ns-a.svc.cluster.local. 30 IN CNAME web.ns-a.svc.cluster.local."

local CASES = {
  { 1, "dns-version.cluster.local. TXT", answer { 'dns-version.cluster.local. 28800 IN TXT "1.1.0"' } },
  { 2, "dns-version.cluster.local. A", ND },
  { 4, "cluster.local. NS", answer({ "NS kube-dns.kube-system.svc.cluster.local." }, at("kube-dns.kube-system", "10.96.0.10")) },
  { 5, "cluster.local. A,AAAA,SRV,HINFO,TXT", ND }, { 5, "svc.cluster.local. TXT", ND }, { 5, "ns-a TXT", ND },
  { 6, "ns.dns.cluster.local. A", A "10.96.0.10" }, { 6, "ns.dns.cluster.local. AAAA", ND },
  { 6, "dns.cluster.local. A,TXT", ND }, { 6, "x.dns.cluster.local. A", NX },
  { 7, "svc.cluster.local. A", ND }, { 7, "pod.cluster.local. A", ND },
  { 8, "foo.cluster.local. A,NS", NX },
  { 11, "kubernetes.default A", A "10.96.0.1" }, { 12, "web.ns-a A", A "10.96.1.1" }, { 13, "web.ns-a AAAA", ND },
  { 14, "web6.ns-a AAAA", A "fd00:10:96::2" }, { 14, "web6.ns-a A", ND },
  { 15, "dual.ns-a A", A "10.96.1.3" }, { 15, "dual.ns-a AAAA", A "fd00:10:96::3" },
  { 16, "_http._tcp.web.ns-a SRV", answer({ srv("web.ns-a", 100, 80) }, WEB) },
  { 17, "_https._tcp.web.ns-a SRV", answer({ srv("web.ns-a", 100, 443) }, WEB) },
  { 18, "_http._udp.web.ns-a SRV", NX }, { 19, "_nope._tcp.web.ns-a SRV", NX },
  { 20, "http.tcp.web.ns-a SRV", answer({ srv("web.ns-a", 100, 80) }, WEB) },
  { 21, "web.ns-a SRV", answer({ srv("web.ns-a", 50, 80, 443) }, WEB) },
  { 22, "_http._tcp.web.ns-a A", A "10.96.1.1" },
  { 23, "_http._tcp.dual.ns-a SRV", answer({ srv("dual.ns-a", 50, 80) }, at("dual.ns-a", "10.96.1.3", "fd00:10:96::3")) },
  { 24, "noname.ns-a SRV", answer({ srv("noname.ns-a", 100, 9000) }, at("noname.ns-a", "10.96.1.4")) },
  { 24, "_._tcp.noname.ns-a SRV", answer({ srv("noname.ns-a", 100, 9000) }, at("noname.ns-a", "10.96.1.4")) },
  { 24, "_http._tcp.noname.ns-a SRV", NX },
  { 25, "_q-udp._udp.mix.ns-a SRV", answer({ srv("mix.ns-a", 100, 5000) }, at("mix.ns-a", "10.96.1.5")) },
  { 25, "_q-tcp._tcp.mix.ns-a SRV", answer({ srv("mix.ns-a", 100, 5000) }, at("mix.ns-a", "10.96.1.5")) },
  { 25, "_s._sctp.mix.ns-a SRV", answer({ srv("mix.ns-a", 100, 7) }, at("mix.ns-a", "10.96.1.5")) },
  { 25, "mix.ns-a SRV", answer({ srv("mix.ns-a", 33, 5000, 7) }, at("mix.ns-a", "10.96.1.5")) },
  { 26, "1st.ns-a A", A "10.96.1.6" }, { 27, "lb.ns-a A", A "10.96.1.8" }, { 28, "svc.svc A", A "10.96.3.1" },
  { 29, "nosuch.ns-a A,AAAA,TXT,SRV,HTTPS", NX }, { 30, "web.nosuch A", NX },
  { 31, "ns-a A", ND }, { 31, "ns-empty A", ND }, { 31, "nosuch A", NX },
  { 32, "web.ns-a TXT,MX,HINFO,CNAME,PTR,HTTPS", ND }, { 33, "web.ns-a SOA", ND }, { 33, "nosuch.ns-a SOA", NX },
  { 34, "a.b.c.web.ns-a A", NX }, { 35, "10-244-1-1.web.ns-a A", A "10.244.1.1" }, { 36, "bogus.web.ns-a A", NX },
  { 38, "manual.ns-a A", A "10.96.1.20" }, { 38, "ext-0.manual.ns-a A", A "198.51.100.7" },
  { 39, "web.ns-a ANY", ND }, { 39, "nosuch.ns-a ANY", NX },
  { 41, "hl.ns-a A", A(unpack(HL)) }, { 42, "hl.ns-a AAAA", A("fd00:10:244:2::1", "fd00:10:244:2::7") },
  { 43, "pod-0.hl.ns-a A", A("10.244.2.1", "10.244.2.6") }, { 43, "pod-0.hl.ns-a AAAA", A "fd00:10:244:2::1" },
  { 44, "pod-1.hl.ns-a A", A "10.244.2.2" }, { 45, "pod-1.hl.ns-a AAAA", ND },
  { 46, "pod-3.hl.ns-a A", NX }, { 46, "pod-4.hl.ns-a A", NX },
  { 47, "10-244-2-3.hl.ns-a A", A "10.244.2.3" }, { 48, "10-244-2-1.hl.ns-a A", NX },
  { 49, "fd00-10-244-2--7.hl.ns-a AAAA", A "fd00:10:244:2::7" }, { 50, "hl-xyz.hl.ns-a A", NX },
  { 51, "_http._tcp.hl.ns-a SRV", hl_targets(14, 80) }, { 52, "_metrics._tcp.hl.ns-a SRV", hl_targets(14, 9100) },
  { 53, "hl.ns-a SRV", hl_targets(7, 80, 9100) }, { 54, "_http._tcp.pod-0.hl.ns-a SRV", NX },
  { 55, "pod-0.hl.ns-a SRV", answer({ srv("pod-0.hl.ns-a", 12, 80, 9100) },
    at("pod-0.hl.ns-a", "10.244.2.1", "10.244.2.6", "fd00:10:244:2::1")) },
  { 56, "hl-notready.ns-a A", NX }, { 57, "hl-pub.ns-a A", A "10.244.2.30" }, { 57, "p0.hl-pub.ns-a A", A "10.244.2.30" },
  { 58, "hl-noport.ns-a A", A "10.244.2.40" }, { 58, "hl-noport.ns-a SRV", ND },
  { 58, "10-244-2-40.hl-noport.ns-a A", A "10.244.2.40" }, { 58, "_http._tcp.hl-noport.ns-a A", NX },
  { 59, "hl-none.ns-a A,SRV", NX }, { 60, "fqdn.ns-a A,SRV", NX },
  { 64, "ext.ns-a CNAME", answer { EXT } }, { 65, "ext.ns-a A", answer { EXT, "ext.example. 60 IN A 192.0.2.80" } },
  { 65, "ext.ns-a AAAA", answer { EXT, "ext.example. 60 IN AAAA 2001:db8::80" } },
  { 66, "ext-in.ns-a A", answer { IN, WEB[1] } }, { 66, "ext-in.ns-a AAAA", answer { IN } },
  { 67, "ext-loop.ns-a A", ND }, { 68, "ext-ip.ns-a A", NX },
  { 69, "_http._tcp.ext.ns-a SRV", NX }, { 69, "x.ext.ns-a A", NX }, { 70, "ext.ns-a SRV,TXT", ND },
  { 72, "10-244-2-1.ns-a.pod.cluster.local. A", A "10.244.2.1" }, { 73, "9-9-9-9.ns-a.pod.cluster.local. A", A "9.9.9.9" },
  { 74, "fd00-10-244-9--b.ns-a.pod.cluster.local. AAAA", A "fd00:10:244:9::b" },
  { 74, "fd00-10-244-9--b.ns-a.pod.cluster.local. A", ND }, { 75, "blah.ns-a.pod.cluster.local. A,AAAA,HINFO", NX },
  { 76, "10-244-2-1.nosuch.pod.cluster.local. A", NX }, { 77, "ns-a.pod.cluster.local. A", ND },
  { 77, "nosuch.pod.cluster.local. A", NX }, { 78, "x.10-244-2-1.ns-a.pod.cluster.local. A", NX },
  { 82, back "10.96.0.1" .. " PTR", PTR "kubernetes.default" }, { 83, back "10.96.1.3" .. " PTR", PTR "dual.ns-a" },
  { 83, back "fd00:10:96::3" .. " PTR", PTR "dual.ns-a" }, { 84, back "10.244.2.2" .. " PTR", PTR "pod-1.hl.ns-a" },
  { 85, back "10.244.2.1" .. " PTR", PTR "pod-0.hl.ns-a" },
  { 86, back "10.244.2.3" .. " PTR", PTR("10-244-2-3.hl.ns-a", "10-244-2-3.share.ns-b") },
  { 87, back "fd00:10:244:2::1" .. " PTR", PTR "pod-0.hl.ns-a" }, { 88, back "10.244.2.4" .. " PTR", NX },
  { 89, back "10.99.99.99" .. " PTR", NX }, { 90, "web.ns-a PTR", ND },
  { 91, "web.ns-a.svc.96.10.in-addr.arpa. A", NX }, { 92, "96.10.in-addr.arpa. PTR", NX },
  { 92, back "10.96.0.1" .. " A", ND }, { 93, back "10.244.1.1" .. " PTR", PTR "10-244-1-1.web.ns-a" },
}

describe("kubernetes", function()
  local s
  setup(function()
    s = cluster.server("pods insecure\nttl 30", fixture, { after = "forward . 192.0.2.1" })
    s:upstream(UPSTREAM)
  end)

  for _, case in ipairs(CASES) do
    local number, text, check = unpack(case)
    local name, types = text:match "^(%S+) (%S+)$"
    for kind in types:gmatch "[^,]+" do
      local question = whole(name) .. " " .. kind
      it(("case %d: %s"):format(number, question), function()
        local reply = s:query(question, { edns = 4096 })
        check(reply, question)
        assert.is_true(reply.flags.aa)
      end)
    end
  end

  it("cases 3, 10: the SOA, in the letter case of the question", function()
    local record = s:query("Cluster.LOCAL. SOA").answer[1]
    local zone = "Cluster%.LOCAL%."
    local serial = record:match(("^%s 30 IN SOA ns%%.dns%%.%s hostmaster%%.%s (%%d+) 7200 1800 86400 30$"):format(zone, zone,
      zone))
    assert.is_true(math.abs(serial - os.time()) < 60, record)
    assert.matches("^cLuStEr%.LoCaL%. 30 IN SOA ns%.dns%.cLuStEr%.LoCaL%. ", s:query("foo.cLuStEr.LoCaL. A").authority[1])
  end)
  it("case 9: a transfer is refused", function()
    assert.rcode("REFUSED", s:query("cluster.local. AXFR", { transport = "tcp" }))
  end)
  it("case 37: the letter case of the question is kept", function()
    assert.same({ "WeB.nS-a.SVC.Cluster.Local. 30 IN A 10.96.1.1" }, s:query("WeB.nS-a.SVC.Cluster.Local. A").answer)
    local reply = s:query "_HTTP._Tcp.WEB.nS-a.SVC.Cluster.LOCAL. SRV"
    assert.same({ "_HTTP._Tcp.WEB.nS-a.SVC.Cluster.LOCAL. 30 IN SRV 0 100 80 web.ns-a.svc.Cluster.LOCAL." }, reply.answer)
    assert.matches("^%S*Cluster%.LOCAL%. 30 IN A 10%.96%.1%.1$", reply.additional[1])
  end)
  it("case 40: another class is refused", function() assert.rcode("REFUSED", s:query "web.ns-a.svc.cluster.local. A CH") end)
  it("case 71: a target that does not resolve leaves the CNAME alone", function()
    cluster.event(s, "ADDED", cluster.external("ns-a/ext-nx", "missing.example"))
    local reply = s:query "ext-nx.ns-a.svc.cluster.local. A"
    assert.rcode("NOERROR", reply)
    assert.answer("ext-nx.ns-a.svc.cluster.local. 30 IN CNAME missing.example.", reply)
  end)
  it("stays compiled and allocates nothing", function()
    assert.hot(s, {
      "web.ns-a.svc.cluster.local. A", "nosuch.ns-a.svc.cluster.local. A", "_http._tcp.web.ns-a.svc.cluster.local. SRV",
      back "10.96.0.1" .. " PTR", "hl.ns-a.svc.cluster.local. A", back "10.244.2.1" .. " PTR",
      "web.ns-a.svc.cluster.local. AAAA", "foo.cluster.local. A",
    })
  end)
end)
