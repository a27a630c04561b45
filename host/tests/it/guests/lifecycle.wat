;; Takes no configuration without the key `k`.
(module
  (import "duologue:plugin/config@0.2.0" "get" (func $get (param i32 i32 i32)))
  (memory (export "memory") 2)
  (data (i32.const 512) "k is missing")
  {realloc}
  (func (export "duologue:plugin/lifecycle@0.2.0#check") (result i32)
    (call $get (i32.const 512) (i32.const 1) (i32.const 600))
    (i32.store8 (i32.const 640) (i32.eqz (i32.load8_u (i32.const 600))))
    (i32.store (i32.const 644) (i32.const 512))
    (i32.store (i32.const 648) (i32.const 12))
    i32.const 640)
  (func (export "duologue:plugin/before-send@0.2.0#before-send") (param i32) (result i32)
    i32.const 0))
