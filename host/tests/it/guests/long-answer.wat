;; Answers with a content of 20 MB.
(module
  (memory (export "memory") 310)
  ;; ok, modify, content is some, at 0, 20 000 000 bytes
  (data (i32.const 0) "\00\00\00\00\01\00\00\00\01\00\00\00\00\00\00\00\00\2d\31\01")
  {realloc}
  (func (export "duologue:plugin/before-send@0.2.0#before-send") (param i32) (result i32)
    i32.const 0))
