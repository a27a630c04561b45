;; Always answers what lies at the start of its memory.
(module
  (memory (export "memory") 2)
  (data (i32.const 0) "{answer}")
  {realloc}
  (func (export "duologue:plugin/before-send@0.2.0#before-send") (param i32) (result i32)
    i32.const 0))
