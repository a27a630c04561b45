//! What a component must be like to be taken. Runs in the child, on hostile bytes.

use wasmtime::{
    Engine,
    component::{
        Component, ComponentNamedList, Lift, Lower,
        types::{ComponentInstance, ComponentItem},
    },
};

use super::{
    bindings::{on_event, on_notify, types, validate_content},
    catalog::{Export, Hook, LIFECYCLE, OFFERED, OurName, PACKAGE, imports},
    child::Needs,
    engine::{self, MAX_MEMORIES, MAX_TABLES},
    runtime,
};

const WASM_PAGE_BYTES: u64 = 64 << 10;

/// What a component that was taken says of itself.
#[derive(Debug, Default, serde::Serialize, serde::Deserialize)]
pub(super) struct Findings {
    pub(super) wit: String,
    pub(super) hooks: Vec<String>,
    /// Ours by the name of the interface, then what runtimes need by its full name.
    pub(super) imports: Vec<String>,
    /// It wants to check its configuration.
    pub(super) lifecycle: bool,
}

/// Why a component is not taken, and what its author can do about it.
pub(super) type Refusal = String;

pub(super) fn check(component: &Component, needs: &Needs) -> Result<Findings, Refusal> {
    let mut findings = Findings::default();
    check_imports(component, &mut findings)?;
    check_exports(component, &mut findings)?;
    check_resources(component, needs)?;
    check_types(component, &findings)?;
    Ok(findings)
}

fn check_imports(component: &Component, findings: &mut Findings) -> Result<(), Refusal> {
    let engine = component.engine();
    let component = component.component_type();
    let (mut inert, mut unknown) = (Vec::new(), Vec::new());
    for (name, import) in component.imports(engine) {
        if let Some(ours) = OurName::parse(name) {
            require_compatible(ours)?;
        }
        match import.ty {
            ComponentItem::ComponentInstance(instance) if is_type_only(name, &instance, engine) => {
            }
            ComponentItem::ComponentInstance(_) if runtime::is_inert(name) => {
                inert.push(name.to_owned());
            }
            ComponentItem::ComponentInstance(_) => match offered_import(name) {
                Some(interface) => findings.imports.push(interface.to_owned()),
                None => unknown.push(name),
            },
            // A function at the root, or a module or component that the host would have to supply.
            _ => unknown.push(name),
        }
    }
    findings.imports.append(&mut inert);
    if unknown.is_empty() { Ok(()) } else { Err(unknown_imports(&unknown)) }
}

/// Needs nothing of us: every component that shares our words has such an import. So does one that
/// imports `http` and never opens a secret, whose type is a word of `http`.
fn is_type_only(name: &str, instance: &ComponentInstance, engine: &Engine) -> bool {
    let is_ours = OurName::parse(name).is_some();
    instance.exports(engine).all(|(_, export)| match export.ty {
        ComponentItem::Type(_) => true,
        ComponentItem::Resource(_) => is_ours,
        _ => false,
    })
}

fn offered_import(name: &str) -> Option<&str> {
    let ours = OurName::parse(name)?;
    imports().any(|offered| offered == ours.interface).then_some(ours.interface)
}

fn unknown_imports(names: &[&str]) -> Refusal {
    let shown: Vec<String> = names.iter().take(10).map(|name| clip(name)).collect();
    let mut refusal = format!(
        "it imports {}, which this server does not offer; it offers {} of {PACKAGE}@{OFFERED}",
        shown.join(", "),
        imports().collect::<Vec<_>>().join(", "),
    );
    if names.iter().any(|name| name.starts_with("wasi:http/")) {
        refusal.push_str(". Plugins get no HTTP by WASI: switch it off in your tool");
    } else if names.iter().any(|name| name.starts_with("wasi:")) {
        refusal.push_str(
            ". Of WASI it offers 0.2 of cli, clocks, filesystem, io, random and sockets, with \
             nothing behind them: let your tool build for 0.2, or stub the rest out",
        );
    }
    refusal
}

fn check_exports(component: &Component, findings: &mut Findings) -> Result<(), Refusal> {
    let engine = component.engine();
    for (name, export) in component.component_type().exports(engine) {
        // What is not of our package is never called, and does no harm.
        let Some(ours) = OurName::parse(name) else {
            continue;
        };
        let hook = offered_hook(name, ours)?;
        let ComponentItem::ComponentInstance(instance) = export.ty else {
            return Err(format!("it exports {}, but not as an interface", clip(name)));
        };
        check_functions(hook, &instance, engine)?;
        let is_lifecycle = hook.interface == LIFECYCLE.interface;
        let known = findings.hooks.iter().any(|known| known == hook.interface);
        if known || is_lifecycle && findings.lifecycle {
            return Err(format!("it exports {} in two versions; one is enough", hook.interface));
        }
        if is_lifecycle {
            findings.lifecycle = true;
            continue;
        }
        ours.version.clone_into(&mut findings.wit);
        findings.hooks.push(hook.interface.to_owned());
    }
    if findings.hooks.is_empty() {
        let hooks = Hook::ALL.map(Hook::as_str);
        return Err(format!(
            "it exports no hook of {PACKAGE}@{OFFERED} ({}), so nothing would ever call it",
            hooks.join(", "),
        ));
    }
    Ok(())
}

/// A guest built for another version seems to export nothing, and a filter that is never called
/// lets everything pass. So what would not be called is refused by name.
fn offered_hook(name: &str, ours: OurName<'_>) -> Result<&'static Export, Refusal> {
    require_compatible(ours)?;
    ours.export()
        .ok_or_else(|| format!("it exports {}, a hook that this server does not offer", clip(name)))
}

fn require_compatible(ours: OurName<'_>) -> Result<(), Refusal> {
    if ours.is_compatible() {
        return Ok(());
    }
    Err(format!(
        "it is built for {PACKAGE}@{}, this server offers {OFFERED}: build it again with the \
         `wit` folder of this server, and see CHANGELOG.md for what has changed",
        clip(ours.version),
    ))
}

fn check_functions(
    hook: &Export,
    instance: &ComponentInstance,
    engine: &Engine,
) -> Result<(), Refusal> {
    for (name, export) in instance.exports(engine) {
        let is_function = matches!(export.ty, ComponentItem::ComponentFunc(_));
        if is_function && !hook.functions.contains(&name) {
            return Err(format!(
                "its {} has a function {}, which this server would never call",
                hook.interface,
                clip(name),
            ));
        }
    }
    Ok(())
}

fn check_resources(component: &Component, needs: &Needs) -> Result<(), Refusal> {
    let resources = component
        .resources_required()
        .ok_or("it wants the server to supply modules of code, which no server does")?;
    let largest = resources.max_initial_memory_size.unwrap_or(0).saturating_mul(WASM_PAGE_BYTES);
    if resources.num_memories > MAX_MEMORIES {
        return Err(format!("it has more than {MAX_MEMORIES} memories"));
    }
    if largest > needs.memory_bytes as u64 {
        return Err(format!("it starts with more than {} bytes of memory", needs.memory_bytes));
    }
    if resources.num_tables > MAX_TABLES {
        return Err(format!("it has more than {MAX_TABLES} tables"));
    }
    if resources.max_initial_table_size.unwrap_or(0) > needs.table_elements as u64 {
        return Err(format!("it has a table of more than {} elements", needs.table_elements));
    }
    Ok(())
}

/// That what has the right names has the right types, too.
fn check_types(component: &Component, findings: &Findings) -> Result<(), Refusal> {
    engine::linker(component.engine())
        .and_then(|linker| linker.instantiate_pre(component))
        .map_err(|error| format!("its imports are not as this server has them: {error:#}"))?;
    let lifecycle = findings.lifecycle.then_some(LIFECYCLE.interface);
    for hook in findings.hooks.iter().map(String::as_str).chain(lifecycle) {
        check_hook(component, hook)
            .map_err(|error| format!("its {hook} is not as in `wit`: {error:#}"))?;
    }
    Ok(())
}

fn check_hook(component: &Component, hook: &str) -> wasmtime::Result<()> {
    match Hook::parse(hook) {
        Some(Hook::ValidateContent) => {
            check_function::<(), (Vec<validate_content::ContentType>,)>(
                component,
                hook,
                "content-types",
            )?;
            check_function::<
                (types::Context, types::Body),
                (Result<validate_content::Validity, types::Failure>,),
            >(component, hook, "validate")
        }
        Some(Hook::BeforeSend) => check_function::<
            (types::Context, types::Draft, Option<types::Body>),
            (Result<types::Decision, types::Failure>,),
        >(component, hook, "before-send"),
        Some(Hook::OnNotify) => check_function::<
            (types::Call, on_notify::Notification, on_notify::Recipient),
            (Result<on_notify::Decision, types::Failure>,),
        >(component, hook, "on-notify"),
        Some(Hook::OnEvent) => {
            check_function::<(), (Vec<on_event::Kind>,)>(component, hook, "kinds")?;
            check_function::<(types::Call, on_event::Event), (Result<(), types::Failure>,)>(
                component, hook, "on-event",
            )
        }
        None => check_function::<(), (Result<(), String>,)>(component, hook, "check"),
    }
}

fn check_function<Parameters, Answer>(
    component: &Component,
    interface: &str,
    function: &str,
) -> wasmtime::Result<()>
where
    Parameters: ComponentNamedList + Lower,
    Answer: ComponentNamedList + Lift,
{
    let name = format!("{PACKAGE}/{interface}@{OFFERED}.0");
    let missing = || wasmtime::Error::msg(format!("it has no function {function}"));
    // Finds compatible versions, too.
    let interface = component.get_export_index(None, &name).ok_or_else(missing)?;
    let (found, _) = component.get_export(Some(&interface), function).ok_or_else(missing)?;
    match found {
        ComponentItem::ComponentFunc(found) => {
            found.typecheck::<Parameters, Answer>(&component.component_type().instance_type())
        }
        _ => Err(missing()),
    }
}

fn clip(name: &str) -> String {
    name.chars().take(200).collect()
}
