//! Candidates on trial: asked about live messages behind the answer, and what they say is noted.
//! Nothing that they do is real, and no message waits for them.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use dashmap::DashMap;
use futures_util::{StreamExt, stream};
use time::OffsetDateTime;
use tokio::sync::mpsc;

use super::Stages;
use crate::{
    Result,
    db::{
        Db, orgs,
        runs::{self, ImportRow, Progress},
    },
    domain::{
        Body, BodyLimits, Caller, EntryId, Finding, Installed, Judgement, MessageId, OrgId,
        Outcome, Overheard, PluginId, RunState, Step, Subject, User,
    },
    plugin::{BeforeSend, Door, Hooks, ImportCount, StandIn},
};

/// A clone is the same.
#[derive(Clone)]
pub(super) struct Trials {
    running: Arc<DashMap<OrgId, OrgTrials>>,
    queue: mpsc::Sender<Job>,
}

type OrgTrials = Arc<[Arc<OnTrial>]>;

/// A candidate, with hooks of its own: its counters, its breaker and its places are nobody else's.
pub(super) struct OnTrial {
    pub(super) run: EntryId,
    pub(super) plugin: PluginId,
    pub(super) name: String,
    /// Of its version, its configuration and its grants: whatever changes makes it another.
    pub(super) terms: String,
    pub(super) hooks: Hooks,
    pub(super) stand_in: Arc<StandIn>,
    /// Messages that it was not asked about, since that was last noted.
    dropped: AtomicU64,
    over: AtomicBool,
}

/// A message that candidates are to be asked about, once it is known what became of it. Where
/// that is never known, it counts as one that went by.
pub(in crate::service) struct Heard {
    trials: Trials,
    question: Option<Question>,
}

struct Question {
    caller: Caller,
    to: Arc<User>,
    reply_to: Option<MessageId>,
    previous: Option<Body>,
    door: Door,
    now: OffsetDateTime,
    steps: Vec<Step>,
    overheard: Vec<Overheard>,
}

struct Job {
    question: Question,
    subject: Subject,
}

impl OnTrial {
    pub(super) fn new(
        (run, plugin): (EntryId, PluginId),
        (name, terms): (String, String),
        (hooks, stand_in): (Hooks, Arc<StandIn>),
    ) -> Self {
        let (dropped, over) = (AtomicU64::new(0), AtomicBool::new(false));
        Self { run, plugin, name, terms, hooks, stand_in, dropped, over }
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }
}

impl Trials {
    /// Messages whose results are stored in one statement.
    const BATCH: usize = 64;

    /// Starts the task that asks; it ends when the last of these is dropped.
    pub(super) fn start(db: &Db, stages: &Stages) -> Self {
        let (queue, mut waiting) = mpsc::channel(stages.settings.trial_queue.max(1));
        let running = Arc::<DashMap<_, _>>::default();
        let asker = Asker {
            db: db.clone(),
            running: Arc::clone(&running),
            at_once: stages.settings.trial_at_once.max(1),
            wanted: stages.settings.trial_messages,
        };
        tokio::spawn(async move {
            let mut jobs = Vec::with_capacity(Self::BATCH);
            while waiting.recv_many(&mut jobs, Self::BATCH).await > 0 {
                asker.ask_all(std::mem::take(&mut jobs)).await;
            }
        });
        Self { running, queue }
    }

    pub(super) fn of(&self, org: OrgId) -> OrgTrials {
        self.running.get(&org).map(|running| Arc::clone(&running)).unwrap_or_default()
    }

    pub(super) fn replace(&self, org: OrgId, trials: Vec<Arc<OnTrial>>) {
        if trials.is_empty() {
            self.running.remove(&org);
        } else {
            self.running.insert(org, trials.into());
        }
    }

    /// Takes over what a judgement kept for candidates; `None`: nothing.
    pub(super) fn hear(&self, ask: &BeforeSend<'_>, judgement: &mut Judgement) -> Option<Heard> {
        let overheard = std::mem::take(&mut judgement.overheard);
        if overheard.is_empty() {
            return None;
        }
        let question = Question {
            caller: ask.caller.clone(),
            to: Arc::new(ask.to.clone()),
            reply_to: ask.reply_to,
            previous: ask.previous.cloned(),
            door: ask.door,
            now: ask.now,
            steps: judgement.steps.clone(),
            overheard,
        };
        let heard = Heard { trials: self.clone(), question: Some(question) };
        if let Outcome::Reject(rejection) = &judgement.outcome {
            heard.settle(Subject::Refusal(rejection.id));
            return None;
        }
        Some(heard)
    }

    fn drop_one(&self, question: &Question) {
        let trials = self.of(question.caller.org.id);
        for overheard in &question.overheard {
            if let Some(trial) = trials.iter().find(|trial| trial.plugin == overheard.plugin) {
                trial.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

impl Heard {
    /// Hands it over, without waiting; where too many wait, this one goes by.
    pub(in crate::service) fn settle(mut self, subject: Subject) {
        let Some(question) = self.question.take() else { return };
        if let Err(error) = self.trials.queue.try_send(Job { question, subject }) {
            self.trials.drop_one(&error.into_inner().question);
        }
    }

    /// The plugins are asked once more about the same message, or it was a repeat.
    pub(in crate::service) fn forget(mut self) {
        self.question = None;
    }
}

impl Drop for Heard {
    fn drop(&mut self) {
        if let Some(question) = self.question.take() {
            self.trials.drop_one(&question);
        }
    }
}

/// Asks candidates, aside from whoever sent the messages.
struct Asker {
    db: Db,
    running: Arc<DashMap<OrgId, OrgTrials>>,
    at_once: usize,
    wanted: u64,
}

type ByOrg = HashMap<OrgId, Vec<(PluginId, Option<Finding>)>>;

impl Asker {
    async fn ask_all(&self, jobs: Vec<Job>) {
        let asked = stream::iter(jobs)
            .map(|job| async move { (job.question.caller.org.id, self.ask(&job).await) })
            .buffer_unordered(self.at_once);
        let by_org = asked.fold(ByOrg::new(), |mut by_org, (org, findings)| async move {
            by_org.entry(org).or_default().extend(findings);
            by_org
        });
        for (org, findings) in by_org.await {
            self.store(org, findings).await;
        }
    }

    async fn ask(&self, job: &Job) -> Vec<(PluginId, Option<Finding>)> {
        let trials = self.running.get(&job.question.caller.org.id).map(|it| Arc::clone(&it));
        let mut findings = Vec::new();
        for trial in trials.iter().flat_map(|trials| trials.iter()) {
            let overheard = job.question.overheard.iter().find(|it| it.plugin == trial.plugin);
            if let Some(overheard) = overheard.filter(|_| !trial.is_over()) {
                // Boxed, because a call is large as a future.
                findings.push((trial.plugin, Box::pin(ask_one(trial, job, overheard)).await));
            }
        }
        findings
    }

    async fn store(&self, org: OrgId, findings: Vec<(PluginId, Option<Finding>)>) {
        let trials = self.running.get(&org).map(|it| Arc::clone(&it));
        for trial in trials.iter().flat_map(|trials| trials.iter()) {
            let own = findings.iter().filter(|(plugin, _)| *plugin == trial.plugin);
            let asked = own.clone().count() as u64;
            let own: Vec<Finding> = own.filter_map(|(_, finding)| finding.clone()).collect();
            if asked == 0 {
                continue;
            }
            let dropped = trial.dropped.swap(0, Ordering::Relaxed);
            match self.record(org, trial, (asked, dropped), &own).await {
                Ok(is_over) => trial.over.store(is_over, Ordering::Relaxed),
                Err(error) => {
                    trial.dropped.fetch_add(dropped + asked, Ordering::Relaxed);
                    tracing::warn!(%error, org.id = %org, plugin.id = %trial.plugin, "results of a trial could not be noted");
                }
            }
        }
    }

    /// Whether the trial is over with this.
    async fn record(
        &self,
        org: OrgId,
        trial: &OnTrial,
        (asked, dropped): (u64, u64),
        findings: &[Finding],
    ) -> Result<bool> {
        let imports = import_rows(trial.stand_in.take_answered());
        let progress = Progress { findings, imports: &imports, asked, dropped };
        let mut tx = self.db.begin_for_plugin(org).await?;
        let all = runs::record(&mut tx.conn(), trial.run, &progress).await?;
        let is_done = all.is_some_and(|all| all >= self.wanted);
        if is_done {
            runs::end(&mut tx.conn(), trial.run, RunState::Finished).await?;
            orgs::touch(&mut tx.conn()).await?;
        }
        tx.commit().await?;
        Ok(is_done || all.is_none())
    }
}

pub(super) fn import_rows(counts: Vec<ImportCount>) -> Vec<ImportRow> {
    let rows = counts.into_iter().map(|ImportCount { import, answered, count }| ImportRow {
        import: import.to_owned(),
        answered: answered.as_str().to_owned(),
        count,
    });
    rows.collect()
}

/// What a candidate makes of a message; `None`: it has no say about it.
async fn ask_one(trial: &OnTrial, job: &Job, overheard: &Overheard) -> Option<Finding> {
    let Question { caller, to, reply_to, previous, door, now, steps, .. } = &job.question;
    let ask = BeforeSend {
        caller,
        to,
        body: &overheard.body,
        reply_to: *reply_to,
        previous: previous.as_ref(),
        door: *door,
        attempt: 1,
        now: *now,
        limits: &BodyLimits::from(&caller.org.settings),
    };
    let judgement = trial.hooks.rehearse(&ask, overheard.messages_24h).await;
    keep_staged(&trial.stand_in, caller.org.id, trial.plugin, &judgement);
    let word = judgement.word()?;
    let active = Step::decisive_of(steps, &trial.name);
    Some(Finding::new(job.subject, (word, judgement.labels.clone()), active))
}

/// Keeps what a candidate wrote for a message that would be stored.
pub(super) fn keep_staged(
    stand_in: &StandIn,
    org_id: OrgId,
    plugin_id: PluginId,
    judgement: &Judgement,
) {
    if matches!(judgement.outcome, Outcome::Reject(_)) {
        return;
    }
    for staged in &judgement.staged {
        stand_in.commit(Installed { org_id, plugin_id }, staged);
    }
}
