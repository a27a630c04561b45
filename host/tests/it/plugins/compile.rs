//! What an upload must be like, and what happens to one that is not.

use std::{fmt::Write, time::Duration};

use duologue::plugin::{CompileError, Limits};

use super::support::{host, host_with};
use crate::guests::{self, Answer};

async fn refusal(wasm: &[u8]) -> String {
    match host().compile(wasm).await {
        Err(CompileError::Refused(refusal)) => refusal,
        Err(other) => panic!("{other:?}"),
        Ok(compiled) => panic!("taken: {:?}", compiled.report),
    }
}

#[tokio::test]
async fn a_report_says_what_a_plugin_is() {
    let wasm = guests::component(guests::FLOOD);

    let report = host().compile(&wasm).await.unwrap().report.clone();

    assert_eq!((report.size, report.sha256.len()), (wasm.len(), 64));
    assert_eq!(report.wit, "0.2.0");
    assert_eq!(report.hooks, ["before-send"]);
    assert_eq!(report.imports, ["log"]);
}

#[tokio::test]
async fn a_guest_of_a_compatible_version_is_taken() {
    let wasm = guests::component_for("0.2.7", &guests::constant(&Answer::default()));

    assert_eq!(host().compile(&wasm).await.unwrap().report.wit, "0.2.7");
}

#[tokio::test]
async fn a_guest_of_another_version_is_refused_with_both_versions() {
    // By what it exports, and by what it imports.
    for wat in [&guests::constant(&Answer::default()), guests::FLOOD] {
        let refusal = refusal(&guests::component_for("0.1.0", wat)).await;

        assert!(refusal.contains("duologue:plugin@0.1.0"), "{refusal}");
        assert!(refusal.contains("offers 0.2"), "{refusal}");
        assert!(refusal.contains("build it again with the `wit` folder"), "{refusal}");
    }
}

#[tokio::test]
async fn a_core_module_is_refused_with_the_way_to_a_component() {
    let refusal = refusal(&guests::module("(module)")).await;

    assert!(refusal.contains("core module"), "{refusal}");
    assert!(refusal.contains("wasm-component-ld"), "{refusal}");
}

#[tokio::test]
async fn what_is_no_webassembly_is_refused() {
    for bytes in [b"".as_slice(), b"\0asm", b"#!/bin/sh\necho", b"\0asm\x0d\0\x01\0nonsense"] {
        refusal(bytes).await;
    }
}

#[tokio::test]
async fn an_unknown_import_is_refused_by_name() {
    let imports = [
        r#"(import "wasi:http/types@0.2.3" (instance (export "f" (func))))"#,
        r#"(import "wasi:random/random@0.3.0" (instance (export "f" (func))))"#,
        r#"(import "wasi:keyvalue/store@0.2.0" (instance (export "f" (func))))"#,
        r#"(import "duologue:plugin/nothing@0.2.0" (instance (export "send" (func))))"#,
        r#"(import "plain" (func))"#,
        r#"(import "some-module" (core module))"#,
    ];
    for import in imports {
        let wasm = wat::parse_str(format!("(component {import})")).unwrap();
        let name = import.split('"').nth(1).unwrap();

        let refusal = refusal(&wasm).await;

        assert!(refusal.contains(name), "{refusal}");
        assert_eq!(refusal.contains("WASI"), name.starts_with("wasi:"), "{refusal}");
        assert_eq!(refusal.contains("no HTTP"), name.starts_with("wasi:http"), "{refusal}");
    }
}

#[tokio::test]
async fn what_wasi_does_not_have_is_refused_by_name() {
    let wit = guests::wit().replace("import log;", "import wasi:random/random@0.2.3;")
        + "package wasi:random@0.2.3 { interface random { toss: func() -> bool; } }";
    let guest = guests::constant(&Answer::default()).replacen(
        "(memory",
        r#"(import "wasi:random/random@0.2.3" "toss" (func (result i32))) (memory"#,
        1,
    );

    let refusal = refusal(&guests::component_of(&wit, &guest)).await;

    assert!(refusal.contains("imports are not as this server has them"), "{refusal}");
    assert!(refusal.contains("toss"), "{refusal}");
}

#[tokio::test]
async fn a_component_without_a_hook_of_ours_is_refused() {
    let refusal = refusal(&wat::parse_str("(component)").unwrap()).await;

    assert!(refusal.contains("exports no hook"), "{refusal}");
}

#[tokio::test]
async fn a_hook_that_is_not_offered_is_refused_by_name() {
    let later = guests::wit().replace("before-send", "on-rain");
    let guest = guests::constant(&Answer::default()).replace("before-send", "on-rain");

    let refusal = refusal(&guests::component_of(&later, &guest)).await;

    assert!(refusal.contains("duologue:plugin/on-rain@0.2.0"), "{refusal}");
}

#[tokio::test]
async fn a_hook_with_another_signature_is_refused() {
    let other = guests::wit().replace("code: string,", "code: u32,");
    let guest = guests::constant(&Answer::default());

    let refusal = refusal(&guests::component_of(&other, &guest)).await;

    assert!(refusal.contains("before-send is not as in `wit`"), "{refusal}");
}

#[tokio::test]
async fn a_function_that_would_never_be_called_is_refused_by_name() {
    let later = guests::wit()
        .replace("    before-send: func(", "    before-edit: func();\n    before-send: func(");
    let guest = guests::constant(&Answer::default()).replace(
        "{realloc}",
        r#"{realloc} (func (export "duologue:plugin/before-send@0.2.0#before-edit"))"#,
    );

    let refusal = refusal(&guests::component_of(&later, &guest)).await;

    assert!(refusal.contains("before-edit"), "{refusal}");
}

#[tokio::test]
async fn exports_outside_our_package_do_no_harm() {
    let later =
        guests::wit().replace("export before-send;", "export before-send; export init: func();");
    let guest = guests::constant(&Answer::default())
        .replace("{realloc}", r#"{realloc} (func (export "init") unreachable)"#);

    assert!(host().compile(&guests::component_of(&later, &guest)).await.is_ok());
}

#[tokio::test]
async fn more_memory_or_tables_than_there_will_be_is_refused_at_once() {
    let pass = guests::constant(&Answer::default());
    let guests = [
        pass.replace("\"memory\") 2", "\"memory\") 2000"),
        pass.replace("{realloc}", "{realloc} (memory 1) (memory 1)"),
        pass.replace("{realloc}", "{realloc} (memory 1) (memory 1) (memory 1) (memory 1)"),
        pass.replace("{realloc}", "{realloc} (table 30000 funcref)"),
        pass.replace("{realloc}", &"{realloc} ".replacen(' ', &" (table 1 funcref)".repeat(9), 1)),
    ];
    for guest in guests {
        let refusal = refusal(&guests::component(&guest)).await;

        assert!(!refusal.contains("cannot be compiled"), "{refusal}");
    }
}

#[tokio::test]
async fn what_guests_do_not_need_is_switched_off() {
    let pass = guests::constant(&Answer::default());
    for extra in [
        "(type (struct (field i32)))",
        "(memory i64 1)",
        "(memory 1 1 shared)",
        "(func (result i32) (return_call 0 (i32.const 0)(i32.const 0)(i32.const 0)(i32.const 0)))",
        "(tag (param i32))",
    ] {
        let wat = pass.replace("{realloc}", &format!("{{realloc}} {extra}"));
        let refusal = refusal(&guests::component(&wat)).await;

        assert!(refusal.contains("cannot be compiled"), "{extra}: {refusal}");
    }
}

/// Many functions with many variables and loops: dear to compile for its size.
fn bomb(functions: usize) -> Vec<u8> {
    let mut extra = String::from("{realloc}");
    for n in 0..functions {
        let locals = "i32 ".repeat(400);
        let loops = "(loop (local.set 1 (local.get 2)) (br_if 0 (local.get 3)))".repeat(20);
        write!(extra, "(func $f{n} (local {locals}) {loops})").unwrap();
    }
    guests::component(&guests::constant(&Answer::default()).replace("{realloc}", &extra))
}

#[tokio::test]
async fn a_component_that_takes_too_long_to_compile_is_given_up() {
    let host = host_with(Limits { compile_wall: Duration::from_millis(300), ..Limits::default() });

    let outcome = host.compile(&bomb(3000)).await;

    assert!(matches!(outcome, Err(CompileError::TooMuch("time"))), "{:?}", outcome.err());
}

#[tokio::test]
async fn a_component_that_computes_too_long_is_given_up_and_the_next_is_compiled() {
    let host = host_with(Limits { compile_cpu_seconds: 1, ..Limits::default() });

    let outcome = host.compile(&bomb(6000)).await;

    assert!(matches!(outcome, Err(CompileError::TooMuch("time"))), "{:?}", outcome.err());
    assert!(host.compile(&guests::pass()).await.is_ok());
}

#[tokio::test]
async fn a_component_that_takes_too_much_memory_to_compile_is_given_up() {
    let host = host_with(Limits {
        upload_bytes: 512 << 20,
        compile_memory_bytes: 256 << 20,
        ..Limits::default()
    });
    assert!(host.compile(&guests::pass()).await.is_ok());

    // A custom section of 384 MiB: its length takes five bytes.
    let mut large = guests::pass();
    large.extend_from_slice(&[0, 0x80, 0x80, 0x80, 0xc0, 0x01]);
    large.resize(large.len() + (384 << 20), 0);
    let outcome = host.compile(&large).await;

    assert!(matches!(outcome, Err(CompileError::TooMuch("memory"))), "{:?}", outcome.err());
}

#[tokio::test]
async fn a_compiler_that_is_missing_is_no_fault_of_the_upload() {
    let host =
        duologue::plugin::PluginHost::new(Limits::default(), Some("/nowhere".into())).unwrap();

    assert!(matches!(host.compile(&guests::pass()).await, Err(CompileError::Broken(_))));
}
