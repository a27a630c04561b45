;; Asks for room in a table for ever.
(module
  (memory (export "memory") 2)
  (table $table 1 funcref)
  {realloc}
  (func (export "duologue:plugin/before-send@0.2.0#before-send") (param i32) (result i32)
    (loop (drop (table.grow $table (ref.null func) (i32.const 1000))) br 0)
    unreachable))
