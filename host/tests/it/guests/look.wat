;; Traps where its memory holds 0xA5 eight times over.
(module
  (memory (export "memory") 2)
  {realloc}
  (func (export "duologue:plugin/before-send@0.2.0#before-send") (param i32) (result i32)
    (local $at i32)
    (local.set $at (i32.const 1024))
    (loop $on
      (if (i64.eq (i64.load (local.get $at)) (i64.const 0xa5a5a5a5a5a5a5a5)) (then unreachable))
      (local.set $at (i32.add (local.get $at) (i32.const 8)))
      (br_if $on (i32.lt_u (local.get $at) (i32.const 131072))))
    i32.const 0))
