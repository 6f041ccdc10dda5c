--- Raises at a plugin's line. `return q:answer(x)` is a tail call: the handler that holds this line is gone from the stack when
--- the method runs, and error would name the code that called the handler.

---@param text string
---@param level integer as in error, counted from who calls this: 2 = its caller
return function(text, level)
  local info = debug.getinfo(level + 1, "S")
  if info and info.source:sub(1, 1) == "@" then error(text, level + 1) end
  error(text .. ' (raised in a "return q:..." line)', 0)
end
