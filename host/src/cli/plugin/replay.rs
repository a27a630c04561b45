use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use clap::Args;
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::{
    super::{CliError, output},
    component_of, read,
};
use crate::{
    domain::{RunContent, RunRecord, Step},
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
    /// Only the calls of the plugin that has this name in the org; left out, of the one whose
    /// version the component is
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
    let mut replay = Replay {
        args,
        meant: meant(args, &receipts, &format!("{:x}", Sha256::digest(&wasm)))?,
        wasm,
        ready: None,
        replayed: 0,
        differing: 0,
        skipped: 0,
        left_out: 0,
    };
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
    /// The names of those whose calls are run again.
    meant: BTreeSet<String>,
    wasm: Vec<u8>,
    ready: Option<Ready>,
    replayed: usize,
    differing: usize,
    /// Calls of the plugin that could not be run again.
    skipped: usize,
    /// Calls of other plugins.
    left_out: usize,
}

/// The plugin that was named; else those that the component is a version of, or, where it is
/// none that was asked, all of them.
fn meant(
    args: &ReplayArgs,
    receipts: &ReceiptsView,
    version: &str,
) -> Result<BTreeSet<String>, CliError> {
    let calls = receipts.receipts.iter().flat_map(|receipt| &receipt.calls);
    let names = |is_meant: &dyn Fn(&Step) -> bool| -> BTreeSet<String> {
        let steps = calls.clone().map(|call| &call.step).filter(|step| is_meant(step));
        steps.map(|step| step.plugin.clone()).collect()
    };
    let all = names(&|_| true);
    if let Some(name) = &args.plugin {
        if all.contains(name) {
            return Ok(BTreeSet::from([name.clone()]));
        }
        let all = all.into_iter().collect::<Vec<_>>().join(", ");
        return Err(CliError::Usage(format!(
            "no plugin of this receipt is called {name}; it has {}",
            all.escape_debug(),
        )));
    }
    let own = names(&|step| step.version == version);
    Ok(if own.is_empty() { all } else { own })
}

impl Replay<'_> {
    async fn call(&mut self, call: &CallView) -> Result<(), CliError> {
        let step = &call.step;
        let version = short(&step.version);
        let title = format!("  {} {} {version}", step.plugin, step.hook).escape_debug().to_string();
        if !self.meant.contains(&step.plugin) {
            self.left_out += 1;
            let name = step.plugin.escape_debug();
            return output::line(format!("  a call of {name}, another plugin's: left out"));
        }
        let Some(run) = &call.run else {
            let verdict = step.verdict.escape_debug();
            return output::line(format!("{title}: no guest ran ({verdict})"));
        };
        let then = run.answered.escape_debug();
        let why_not = run.not_replayable.as_deref();
        let Some((run, content)) = call.recorded().filter(|_| why_not.is_none()) else {
            self.skipped += 1;
            let why_not = why_not.unwrap_or("its content is not in the receipt").escape_debug();
            return output::line(format!("{title}: then {then}; not replayable: {why_not}"));
        };
        if content.salt.sha256_of(&content.input.to_string()) != run.input_sha256 {
            return Err(CliError::Usage(format!(
                "the input of {} is not the one that was recorded: its SHA-256 differs",
                step.plugin.escape_debug()
            )));
        }
        let replayed = self.ask(call, (run, &content)).await?;
        let Some(replayed) = replayed else {
            self.skipped += 1;
            return output::line(format!(
                "{title}: then {then}; the component is another version: --any-version asks it anyway"
            ));
        };
        self.replayed += 1;
        let (now, differs) = compare((run, &content), &replayed);
        self.differing += usize::from(differs);
        output::line(format!(
            "{title}: then {then}, now {now} ({} µs, {} KiB)",
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
        let hook = hook.ok_or_else(|| {
            usage(&format!("no hook is called {}", call.step.hook.escape_debug()))
        })?;
        let config = call.config.as_ref().ok_or_else(|| usage(&"the configuration is missing"))?;
        let config = BTreeMap::<String, String>::deserialize(config);
        let config = config.map_err(|error| usage(&error))?;
        let replayed = host.replay(compiled, hook, recorded, config).await;
        replayed.map(Some).map_err(|error| usage(&error))
    }

    fn end(self) -> Result<(), CliError> {
        let Self { replayed, differing, skipped, left_out, .. } = self;
        let mut sum = format!("{replayed} replayed, {differing} differ, {skipped} could not be");
        if left_out > 0 {
            sum = format!("{sum}; {left_out} of other plugins left out");
        }
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

/// What to say of the answer beside the one that was recorded, and whether they differ.
fn compare((run, content): (&RunRecord, &RunContent), replayed: &Replayed) -> (String, bool) {
    if let Some(diverged) = &replayed.diverged {
        // What it made of an import without an answer says nothing.
        return (format!("it has diverged: {}", diverged.escape_debug()), true);
    }
    let is_same_word = replayed.answered == run.answered;
    let answer_sha256 = Some(content.salt.sha256_of(&replayed.answer.to_string()));
    if is_same_word && answer_sha256 == run.answer_sha256 {
        return (format!("{}, the same", replayed.answered), false);
    }
    let what = if is_same_word { " in its details" } else { "" };
    (format!("{}: differs{what}", replayed.answered), true)
}

fn short(version: &str) -> &str {
    version.get(..12).unwrap_or(version)
}
