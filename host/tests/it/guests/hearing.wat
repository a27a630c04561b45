;; Hears of the kinds of events that it is made for, and lets everything pass.
(module
  (memory (export "memory") 2)
  (data (i32.const 512) "{kinds}")
  (data (i32.const 600) "\00\02\00\00\{count}\00\00\00")
  {realloc}
  (func (export "duologue:plugin/on-event@0.2.0#kinds") (result i32)
    {before}
    i32.const 600)
  (func (export "duologue:plugin/on-event@0.2.0#on-event") (param i32) (result i32)
    i32.const 0)
  (func (export "duologue:plugin/before-send@0.2.0#before-send") (param i32) (result i32)
    i32.const 0))
