use std::path::PathBuf;

use clap::Args;
use serde_json::Value as Json;

use super::{
    super::{CliError, explain, output},
    component_of, made_up, parse_config, read,
    report::{dry_runs, listed},
};
use crate::{
    app::plugin_host,
    domain::Caller,
    plugin::PluginHost,
    service::{Examined, PluginConfig, examine, require_config},
    settings::Settings,
    wire::{Problem, report_view},
};

#[derive(Args)]
pub(in crate::cli) struct CheckArgs {
    /// A `.wasm`, or the folder of a plugin that is built
    #[arg(default_value = ".")]
    plugin: PathBuf,
    /// Try it with this configuration, and ask its `lifecycle.check` about it: a JSON object of
    /// texts, or `@FILE` that holds one
    #[arg(long, value_name = "JSON", value_parser = parse_config)]
    configure: Option<PluginConfig>,
    /// Print the report, or the problem, as the server's answer has it
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: &CheckArgs, settings: &Settings) -> Result<(), CliError> {
    let path = component_of(&args.plugin)?;
    let component = read(&path)?;
    let host = plugin_host(settings, None)?;
    let admin = made_up::admin(&settings.org)?;
    let report = match examined(&host, &admin, args.configure.clone(), &component).await {
        Ok(report) => report_view(report),
        Err(error) => {
            if args.json {
                output::json(&Problem::new(&error))?;
            }
            return Err(CliError::Usage(format!("{}: {}", path.display(), explain(&error))));
        }
    };
    if args.json {
        return output::json(&report);
    }
    output::text(&(shown(&report) + &dry_runs(&report, args.configure.is_some())))
}

/// The report, if the component is taken, and the configuration where there is one.
async fn examined(
    host: &PluginHost,
    admin: &Caller,
    config: Option<PluginConfig>,
    component: &[u8],
) -> crate::Result<Json> {
    let tried_with = config.clone().unwrap_or_default();
    let Examined { compiled, report } = examine(host, admin, tried_with, component).await?;
    if let Some(config) = config {
        require_config(host, admin, &compiled, config).await?;
    }
    Ok(report)
}

/// For people.
fn shown(report: &Json) -> String {
    use std::fmt::Write;

    let text = |field: &str| report[field].as_str().unwrap_or_default().to_owned();
    let mut shown = format!(
        "version:   {}\nsize:      {} bytes\ninterface: duologue:plugin@{}\nhooks:     {}\n\
         imports:   {}\n",
        text("sha256"),
        report["size"],
        text("wit"),
        listed(&report["hooks"]),
        listed(&report["imports"]),
    );
    if report["lifecycle"] == true {
        shown.push_str("lifecycle: checks its configuration before it is activated\n");
    }
    let types = report["contentTypes"].as_array().map_or(&[][..], Vec::as_slice);
    if !types.is_empty() {
        let names: Vec<_> = types.iter().filter_map(|declared| declared["name"].as_str()).collect();
        let _ = writeln!(shown, "types:     {}", names.join(", "));
    }
    if report.get("events").is_some() {
        let _ = writeln!(shown, "events:    {}", listed(&report["events"]));
    }
    shown
}
