;; Writes 0xA5 all over its memory, but where its answer lies.
(module
  (memory (export "memory") 2)
  {realloc}
  (func (export "duologue:plugin/before-send@0.2.0#before-send") (param i32) (result i32)
    (memory.fill (i32.const 1024) (i32.const 0xa5) (i32.const 130048))
    i32.const 0))
