;; Replaces the content with that of the newest earlier message, and passes where there is none.
(module
  (import "duologue:plugin/history@0.2.0" "previous" (func $previous (param i32)))
  (memory (export "memory") 2)
  {realloc}
  (func (export "duologue:plugin/before-send@0.2.0#before-send") (param i32) (result i32)
    (local $last i32)
    ;; The list lands at 512: where it is, and how many of 32 bytes each.
    (call $previous (i32.const 512))
    (if (i32.load (i32.const 516))
      (then
        (local.set $last (i32.add (i32.load (i32.const 512))
          (i32.mul (i32.sub (i32.load (i32.const 516)) (i32.const 1)) (i32.const 32))))
        (i32.store8 (i32.const 4) (i32.const 1))
        (i32.store8 (i32.const 8) (i32.const 1))
        (i32.store (i32.const 12) (i32.load (i32.add (local.get $last) (i32.const 4))))
        (i32.store (i32.const 16) (i32.load (i32.add (local.get $last) (i32.const 8))))))
    i32.const 0))
