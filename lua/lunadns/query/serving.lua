--- Which runner is at work, so that methods of a query raise when code that does not serve it calls them: a function that
--- was spawned and kept the q of the handler around it, or a handler that kept a q whose reply has left.
local ffi = require "ffi"

ffi.cdef "typedef struct { int32_t runner; } luna_serving;"

--- One per Lua state. `runner`: the number of the runner that is at work, 0 = none (setup, specs).
return ffi.new "luna_serving"
