use std::{
    fmt::Write,
    path::{Path, PathBuf},
    sync::Arc,
};

use clap::Args;
use serde::Serialize;

use super::{
    super::{CliError, explain, output},
    component_of, made_up, read,
};
use crate::{
    Error,
    app::{plugin_host, stand_in_limits},
    domain::Caller,
    plugin::PluginHost,
    service::{
        Examined, PluginConfig, StandInLimits, Tried, examine, made_up_installation, try_out,
    },
    settings::Settings,
    wire::{Expectation, TriedView, TryRequest},
};

#[derive(Args)]
pub(in crate::cli) struct TestArgs {
    /// A `.wasm`, or the folder of a plugin that is built
    #[arg(default_value = ".")]
    plugin: PathBuf,
    /// Where the fixtures are; left out, the folder `fixtures` beside the plugin
    #[arg(long, value_name = "DIR")]
    fixtures: Option<PathBuf>,
    /// Print what each fixture came to as JSON, for a script
    #[arg(long)]
    json: bool,
}

/// What one fixture came to.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Run {
    fixture: String,
    met: bool,
    /// What was not as it was to be.
    misses: Vec<String>,
    /// `null`: the plugin could not be asked; why is among the misses.
    answer: Option<TriedView>,
}

/// The plugin, and all that it takes to ask it.
struct Bench {
    host: PluginHost,
    limits: StandInLimits,
    admin: Caller,
    examined: Examined,
}

pub(super) async fn run(args: &TestArgs, settings: &Settings) -> Result<(), CliError> {
    let path = component_of(&args.plugin)?;
    let component = read(&path)?;
    let fixtures = fixtures(args, &path)?;
    let host = plugin_host(settings, None)?;
    let admin = made_up::admin(&settings.org)?;
    let examined = examine(&host, &admin, PluginConfig::new(), &component).await?;
    let limits = stand_in_limits(settings);
    let bench = Bench { host, limits, admin, examined };
    let mut runs = Vec::new();
    for fixture in fixtures {
        let text = read(&fixture)?;
        runs.push(bench.run(&fixture, &text).await);
    }
    if args.json {
        output::json(&runs)?;
    } else {
        output::text(&runs.iter().map(shown).collect::<String>())?;
    }
    let missed = runs.iter().filter(|run| !run.met).count();
    if missed == 0 {
        return Ok(());
    }
    Err(CliError::Usage(format!("{missed} of {} fixtures are not met", runs.len())))
}

/// Every `.json` of the folder, by name.
fn fixtures(args: &TestArgs, component: &Path) -> Result<Vec<PathBuf>, CliError> {
    let beside = || component.parent().unwrap_or(Path::new(".")).join("fixtures");
    let folder = args.fixtures.clone().unwrap_or_else(beside);
    let failed = |error| CliError::File(folder.clone(), error);
    let mut found = Vec::new();
    for entry in folder.read_dir().map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_some_and(|extension| extension == "json") {
            found.push(path);
        }
    }
    found.sort();
    if found.is_empty() {
        let folder = folder.display();
        return Err(CliError::Usage(format!("{folder} holds no fixture: no file *.json")));
    }
    Ok(found)
}

impl Bench {
    async fn run(&self, fixture: &Path, text: &[u8]) -> Run {
        let name = fixture.file_stem().map(|stem| stem.to_string_lossy().into_owned());
        let fixture = name.unwrap_or_default();
        let (answer, misses) = match self.ask(text).await {
            Ok((tried, expected)) => {
                let misses = expected.map(|expected| expected.misses(&tried)).unwrap_or_default();
                (Some(TriedView::new(&tried, None)), misses)
            }
            Err(error) => (None, vec![explain(&error)]),
        };
        Run { fixture, met: misses.is_empty(), misses, answer }
    }

    async fn ask(&self, text: &[u8]) -> crate::Result<(Tried, Option<Expectation>)> {
        let mut request: TryRequest = serde_json::from_slice(text)
            .map_err(|error| Error::invalid("the fixture", format!("cannot be read: {error}")))?;
        if request.version.is_some() {
            return Err(Error::invalid("version", "is for a server; a fixture tests this plugin"));
        }
        let config = request.config.take().unwrap_or_default();
        let (scenario, expected) = request.into_scenario(&self.admin)?;
        let Examined { compiled, report } = &self.examined;
        let name = "this-plugin".to_owned();
        let installation = made_up_installation(name, Arc::clone(compiled), report, config).await?;
        let tried = try_out(&self.host, self.limits, installation, scenario)
            .await
            .map_err(|error| Error::invalid("hook", error.to_string()))?;
        Ok((tried, expected))
    }
}

/// For people.
fn shown(run: &Run) -> String {
    let mut shown = format!("{} {}", if run.met { "ok  " } else { "MISS" }, run.fixture);
    if let Some(answer) = &run.answer {
        shown.push_str(&answer.summary());
    }
    shown.push('\n');
    for miss in &run.misses {
        let _ = writeln!(shown, "     {miss}");
    }
    shown
}
