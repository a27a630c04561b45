use std::path::PathBuf;

use clap::Args;
use serde_json::Value as Json;

use super::{
    super::{CliError, explain, output},
    component_of, made_up, read,
};
use crate::{
    app::plugin_host,
    service::{Examined, PluginConfig, examine},
    settings::Settings,
    wire::{Problem, report_view},
};

#[derive(Args)]
pub(in crate::cli) struct CheckArgs {
    /// A `.wasm`, or the folder of a plugin that is built
    #[arg(default_value = ".")]
    plugin: PathBuf,
    /// Print the report, or the problem, as the server's answer has it
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: &CheckArgs, settings: &Settings) -> Result<(), CliError> {
    let path = component_of(&args.plugin)?;
    let component = read(&path)?;
    let host = plugin_host(settings, None)?;
    let admin = made_up::admin(&settings.org)?;
    let examined = examine(&host, &admin, PluginConfig::new(), &component).await;
    let report = match examined {
        Ok(Examined { report, .. }) => report_view(report),
        Err(error) => {
            if args.json {
                output::json(&Problem::new(&error))?;
            }
            return Err(CliError::Usage(format!("{}: {}", path.display(), explain(&error))));
        }
    };
    if args.json { output::json(&report) } else { output::text(&shown(&report)) }
}

/// For people.
fn shown(report: &Json) -> String {
    use std::fmt::Write;

    let text = |field: &str| report[field].as_str().unwrap_or_default().to_owned();
    let list = |field: &str| {
        let names = report[field].as_array().map_or(&[][..], Vec::as_slice);
        names.iter().filter_map(Json::as_str).collect::<Vec<_>>().join(", ")
    };
    let mut shown = format!(
        "version:   {}\nsize:      {} bytes\ninterface: duologue:plugin@{}\nhooks:     {}\n\
         imports:   {}\n",
        text("sha256"),
        report["size"],
        text("wit"),
        list("hooks"),
        list("imports"),
    );
    let types = report["contentTypes"].as_array().map_or(&[][..], Vec::as_slice);
    if !types.is_empty() {
        let names: Vec<_> = types.iter().filter_map(|declared| declared["name"].as_str()).collect();
        let _ = writeln!(shown, "types:     {}", names.join(", "));
    }
    if report.get("events").is_some() {
        let _ = writeln!(shown, "events:    {}", list("events"));
    }
    for run in report["dryRun"].as_array().map_or(&[][..], Vec::as_slice) {
        let word = run["fault"].as_str().or(run["verdict"].as_str()).unwrap_or_default();
        let _ = writeln!(
            shown,
            "dry run:   {}: {word}, {} µs, {} bytes",
            run["hook"].as_str().unwrap_or_default(),
            run["micros"],
            run["memoryBytes"],
        );
    }
    shown
}
