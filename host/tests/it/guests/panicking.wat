;; Panics wherever it is called, and says so first.
(module
  (import "duologue:plugin/log@0.2.0" "write" (func $write (param i32 i32 i32)))
  (memory (export "memory") 2)
  (data (i32.const 512) "panicked at src/lib.rs:7:9: no `k`")
  {realloc}
  (func $panic
    (call $write (i32.const 3) (i32.const 512) (i32.const 34))
    unreachable)
  (func (export "duologue:plugin/lifecycle@0.2.0#check") (result i32)
    call $panic
    i32.const 0)
  (func (export "duologue:plugin/before-send@0.2.0#before-send") (param i32) (result i32)
    call $panic
    i32.const 0))
