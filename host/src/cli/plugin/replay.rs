use std::{collections::BTreeMap, path::PathBuf};

use clap::Args;
use serde::Deserialize;

use super::{
    super::{CliError, output},
    component_of, read,
};
use crate::{
    domain::{RunContent, RunRecord},
    plugin::{Compiled, Hook, PluginHost, Replayed, replay_limits},
    wire::{CallView, ReceiptsView},
};

/// Run the calls of a decision receipt again, with the server's own host code.
#[derive(Args)]
pub(in crate::cli) struct ReplayArgs {
    /// What `GET /admin/messages/ID/receipt` or `GET /admin/refusals/REQUEST/receipt` answered
    receipt: PathBuf,
    /// A `.wasm`, or the folder of a plugin that is built
    component: PathBuf,
    /// Only the calls of the plugin that has this name in the org
    #[arg(long)]
    plugin: Option<String>,
    /// Go on where the component is not the version that was asked then
    #[arg(long, requires = "plugin")]
    any_version: bool,
}

/// A component, made to run within the limits of one call.
struct Ready {
    limits: (crate::domain::RunTerms, bool),
    host: PluginHost,
    compiled: Compiled,
}

pub(super) async fn run(args: &ReplayArgs) -> Result<(), CliError> {
    let wasm = read(&component_of(&args.component)?)?;
    let receipts: ReceiptsView =
        serde_json::from_slice(&read(&args.receipt)?).map_err(|error| {
            let path = args.receipt.display();
            CliError::Usage(format!("{path} is no answer of `GET …/receipt`: {error}"))
        })?;
    let mut replay = Replay { args, wasm, ready: None, replayed: 0, differing: 0, skipped: 0 };
    for receipt in &receipts.receipts {
        // Of a file that may be anybody's: nothing in it steers the terminal.
        let asked_at = receipt.asked_at.escape_debug();
        output::line(format!("receipt {} of {asked_at}", receipt.id))?;
        if let Some(why) = &receipt.not_replayable {
            output::line(format!("  not replayable: {}", why.escape_debug()))?;
        }
        for call in &receipt.calls {
            replay.call(call).await?;
        }
    }
    replay.end()
}

struct Replay<'a> {
    args: &'a ReplayArgs,
    wasm: Vec<u8>,
    ready: Option<Ready>,
    replayed: usize,
    differing: usize,
    /// Calls of the plugin that could not be run again.
    skipped: usize,
}

impl Replay<'_> {
    async fn call(&mut self, call: &CallView) -> Result<(), CliError> {
        let step = &call.step;
        let is_meant = self.args.plugin.as_ref().is_none_or(|name| *name == step.plugin);
        let version = short(&step.version);
        let title = format!("  {} {} {version}", step.plugin, step.hook).escape_debug().to_string();
        if !is_meant {
            return Ok(());
        }
        let Some(run) = &call.run else {
            return output::line(format!("{title}: no guest ran ({})", step.verdict));
        };
        let why_not = run.not_replayable.as_deref();
        let Some((run, content)) = call.recorded().filter(|_| why_not.is_none()) else {
            self.skipped += 1;
            let why_not = why_not.unwrap_or("its content is not in the receipt");
            return output::line(format!(
                "{title}: then {}; not replayable: {why_not}",
                run.answered
            ));
        };
        if content.salt.sha256_of(&content.input.to_string()) != run.input_sha256 {
            return Err(CliError::Usage(format!(
                "the input of {} is not the one that was recorded: its SHA-256 differs",
                step.plugin
            )));
        }
        let replayed = self.ask(call, (run, &content)).await?;
        let Some(replayed) = replayed else {
            self.skipped += 1;
            return output::line(format!(
                "{title}: then {}; the component is another version: --any-version asks it anyway",
                run.answered
            ));
        };
        self.replayed += 1;
        let (mark, differs) = compare((run, &content), &replayed);
        self.differing += usize::from(differs);
        output::line(format!(
            "{title}: then {}, now {}{mark} ({} µs, {} KiB)",
            run.answered,
            replayed.answered,
            replayed.took.as_micros(),
            replayed.memory_bytes / 1024,
        ))
    }

    /// `None`: the component is another version, and nobody said that it may be.
    async fn ask(
        &mut self,
        call: &CallView,
        recorded: (&RunRecord, &RunContent),
    ) -> Result<Option<Replayed>, CliError> {
        let usage = |error: &dyn ToString| CliError::Usage(error.to_string());
        let limits = (recorded.0.terms, recorded.0.answered == "timed_out");
        let ready = match self.ready.take() {
            Some(ready) if ready.limits == limits => ready,
            _ => {
                let host = PluginHost::new(replay_limits(&limits.0, limits.1), None);
                let host = host.map_err(|error| usage(&error))?;
                let compiled = host.compile(&self.wasm).await.map_err(|error| usage(&error))?;
                Ready { limits, host, compiled }
            }
        };
        let Ready { host, compiled, .. } = self.ready.insert(ready);
        if compiled.report.sha256 != call.step.version && !self.args.any_version {
            return Ok(None);
        }
        let hook = Hook::parse(&call.step.hook);
        let hook = hook.ok_or_else(|| usage(&format!("no hook is called {}", call.step.hook)))?;
        let config = call.config.as_ref().ok_or_else(|| usage(&"the configuration is missing"))?;
        let config = BTreeMap::<String, String>::deserialize(config);
        let config = config.map_err(|error| usage(&error))?;
        let replayed = host.replay(compiled, hook, recorded, config).await;
        replayed.map(Some).map_err(|error| usage(&error))
    }

    fn end(self) -> Result<(), CliError> {
        let Self { replayed, differing, skipped, .. } = self;
        let sum = format!("{replayed} replayed, {differing} differ, {skipped} could not be");
        if replayed == 0 {
            return Err(CliError::Usage(format!(
                "{sum}: nothing of this receipt could be run again with this component"
            )));
        }
        if differing > 0 {
            return Err(CliError::Usage(format!("{sum}: the same question got another answer")));
        }
        output::line(sum)
    }
}

/// What to say of the two answers, and whether they differ.
fn compare((run, content): (&RunRecord, &RunContent), replayed: &Replayed) -> (String, bool) {
    if let Some(diverged) = &replayed.diverged {
        return (format!(": diverged: {diverged}"), true);
    }
    if Some(content.salt.sha256_of(&replayed.answer.to_string())) == run.answer_sha256 {
        return (", the same".to_owned(), false);
    }
    let what = if replayed.answered == run.answered { "in its details" } else { "" };
    (format!(": differs {what}").trim_end().to_owned(), true)
}

fn short(version: &str) -> &str {
    version.get(..12).unwrap_or(version)
}
