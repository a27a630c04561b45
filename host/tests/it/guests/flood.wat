;; Logs a thousand lines of 5000 bytes, then lets the message pass.
(module
  (import "duologue:plugin/log@0.2.0" "write" (func $write (param i32 i32 i32)))
  (memory (export "memory") 2)
  {realloc}
  (func (export "duologue:plugin/before-send@0.2.0#before-send") (param i32) (result i32)
    (local $left i32)
    (memory.fill (i32.const 1024) (i32.const 120) (i32.const 5000))
    (local.set $left (i32.const 1000))
    (loop
      (call $write (i32.const 1) (i32.const 1024) (i32.const 5000))
      (local.set $left (i32.sub (local.get $left) (i32.const 1)))
      (br_if 0 (local.get $left)))
    i32.const 0))
