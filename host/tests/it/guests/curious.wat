;; Asks for the earlier messages for ever.
(module
  (import "duologue:plugin/history@0.2.0" "previous" (func $previous (param i32)))
  (memory (export "memory") 2)
  {realloc}
  (func (export "duologue:plugin/before-send@0.2.0#before-send") (param i32) (result i32)
    (loop (call $previous (i32.const 512)) (br 0))
    i32.const 0))
