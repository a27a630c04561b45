;; Judges a content by its second byte: `!` traps, `?` is refused, all else is accepted.
(module
  {imports}
  (memory (export "memory") 2)
  (data (i32.const 0) "{accepted}")
  (data (i32.const 4096) "{refused}")
  (data (i32.const 8192) "{types}")
  {realloc}
  (func (export "duologue:plugin/validate-content@0.2.0#content-types") (result i32)
    i32.const 8192)
  (func (export "duologue:plugin/validate-content@0.2.0#validate") (param $asked i32) (result i32)
    (local $second i32)
    ;; The body lies behind the context, which has 88 bytes; its content comes first.
    (local.set $second
      (i32.load8_u (i32.add (i32.load (i32.add (local.get $asked) (i32.const 88))) (i32.const 1))))
    (if (i32.eq (local.get $second) (i32.const 33)) (then unreachable))
    (if (i32.eq (local.get $second) (i32.const 63)) (then (return (i32.const 4096))))
    {asking}
    i32.const 0))
