--- Builds the option tree of a directive, token by token, without recursion.
local format = string.format

local tree = {}

-- Option trees are walked recursively by their users.
local MAX_NESTING = 100

--- The place in a tree: `list` is the block being filled, `entry` the one whose line is being read, `outer` the
--- blocks around.
function tree.new() return { nesting = 0, outer = {} } end

--- Adds the parser's current token to a run. Returns it with its variables expanded.
function tree.add_word(self, run, place, name)
  local token = self:expanded()
  if place.nesting == 0 then
    if run.block then
      self:fail(format("Unexpected token '%s' after the '}' of '%s'", token.text, name))
    end
    run.args[#run.args + 1] = token
  elseif place.entry and not self:new_line() then
    local args = place.entry.args
    args[#args + 1] = token
  else
    place.entry = { name = token, args = {} }
    place.list[#place.list + 1] = place.entry
  end
  return token
end

--- The current token is `{`: opens the run's block, or that of the entry before it. As in CoreDNS the run's may stand on a
--- line of its own.
function tree.open_brace(self, run, place, name)
  if place.nesting >= MAX_NESTING then self:fail(format("braces nested deeper than %d levels", MAX_NESTING)) end
  local list = {}
  if place.nesting == 0 then
    if run.block then self:fail(format("Unexpected second '{' after '%s'", name)) end
    run.block = list
  else
    local entry = place.entry
    if not entry or entry.block or self:new_line() then
      entry = { name = self.cur, args = {} }
      place.list[#place.list + 1] = entry
    end
    entry.block = list
  end
  place.outer[place.nesting] = place.list or false
  place.nesting = place.nesting + 1
  place.list, place.entry = list, nil
end

--- Leaves the block that was opened last.
function tree.close_brace(place)
  place.nesting = place.nesting - 1
  place.list, place.entry = place.outer[place.nesting], nil
end

return tree
