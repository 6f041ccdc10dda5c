local options = require "lunadns.options"
local samples = require "spec.options.samples"
local types = require "lunadns.options.types"

describe("options", function()
  it("never raise, whatever the tokens", function()
    local seed = tonumber(os.getenv("LUNADNS_FUZZ_SEED") or "") or os.time()
    math.randomseed(seed)
    local pieces = {
      "success", "prefetch", "ttl", "except", "health_check", "domain", "fallthrough", "next", "servfail", "0", "-1",
      "1e9", "99999999999999999999", "1s", "10.0.0.0/7", "::/3", "0.0.0.0/0", "a..b", ".", "", "\0", "\n", "%", "%s",
      "10%", "\255\254", "[::1]:53", "\\", "{", "}", ("x"):rep(300), "dns://", ":", "/", "disable", "denial",
      "keepttl", "no_reverse",
    }
    local function token()
      if math.random() < 0.8 then return { text = pieces[math.random(#pieces)], line = 1 } end
      local bytes = {}
      for i = 1, math.random(0, 12) do bytes[i] = string.char(math.random(0, 255)) end
      return { text = table.concat(bytes), line = 1 }
    end
    local function tokens()
      local out = {}
      for i = 1, math.random(0, 4) do out[i] = token() end
      return out
    end
    local function block(depth)
      local out = {}
      for i = 1, math.random(0, 3) do
        out[i] = { name = token(), args = tokens(),
          block = depth < 2 and math.random() < 0.1 and block(depth + 1) or nil }
      end
      return out
    end
    local kinds = {}
    for name in pairs(types) do kinds[#kinds + 1] = name end
    local one = {}
    for i, name in ipairs(kinds) do
      local values = name == "enum" and { "a", "b" } or nil
      one[i] = options.compile("t", { { "v", type = name, rest = true, values = values } })
    end
    local parsed, refused = 0, 0
    for _ = 1, 4000 do
      local run = { args = tokens(), block = math.random() < 0.7 and block(0) or nil, file = "Corefile", line = 1 }
      for _, schema in ipairs { samples.cache, samples.forward, samples.hosts, one[math.random(#one)] } do
        local fine, conf, err = pcall(schema.parse, schema, run, { zones = { "." } })
        assert(fine, ("seed %d: %s"):format(seed, tostring(conf)))
        assert((conf == nil) ~= (err == nil), ("seed %d: neither or both"):format(seed))
        if err then
          assert(not err:find("[%c]") and not err:find("error in the plugin", 1, true),
            ("seed %d: %s"):format(seed, err))
          assert(err:find("^Corefile:1: "), ("seed %d: %s"):format(seed, err))
        end
        if conf then parsed = parsed + 1 else refused = refused + 1 end
      end
    end
    assert.is_true(parsed > 100)
    assert.is_true(refused > 100)
  end)
end)
