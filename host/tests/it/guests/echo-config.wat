;; Replaces the content with the value of the key `k`, and passes where there is none.
(module
  (import "duologue:plugin/config@0.2.0" "get" (func $get (param i32 i32 i32)))
  (memory (export "memory") 2)
  (data (i32.const 512) "k")
  {realloc}
  (func (export "duologue:plugin/before-send@0.2.0#before-send") (param i32) (result i32)
    ;; The option lands where the patch has its content: byte 8 of the answer.
    (call $get (i32.const 512) (i32.const 1) (i32.const 8))
    (i32.store8 (i32.const 4) (i32.load8_u (i32.const 8)))
    i32.const 0))
