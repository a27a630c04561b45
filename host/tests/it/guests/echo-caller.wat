;; Holds for as many seconds as the caller has sent messages, for the reason of their first role;
;; refuses where they were never seen.
(module
  (memory (export "memory") 2)
  {realloc}
  (func (export "duologue:plugin/before-send@0.2.0#before-send") (param $asked i32) (result i32)
    (local $roles i32)
    (if (i32.eqz (i32.load8_u (i32.add (local.get $asked) (i32.const 40)))) (then unreachable))
    (local.set $roles (i32.load (i32.add (local.get $asked) (i32.const 28))))
    (i32.store8 (i32.const 4) (i32.const 3))
    (i32.store (i32.const 8) (i32.load (local.get $roles)))
    (i32.store (i32.const 12) (i32.load (i32.add (local.get $roles) (i32.const 4))))
    (i32.store8 (i32.const 16) (i32.const 1))
    (i32.store (i32.const 20) (i32.load (i32.add (local.get $asked) (i32.const 56))))
    i32.const 0))
