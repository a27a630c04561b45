//! A candidate is asked about the org's stored messages, newest first, to see what it would have
//! made of them.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::json;
use time::OffsetDateTime;

use super::{
    Plugins,
    changes::{Deed, check_config, note},
    entry::hex,
    past::Past,
    runs::{RunEntry, find_plugin, page, read},
    trials::{import_rows, keep_staged},
    tryout::Candidate,
};
use crate::{
    Error, Result,
    db::{
        OrgConn, flags, messages, persons,
        plugins::Config,
        runs::{self, NewRun, Progress, ResultRow},
        users,
    },
    domain::{
        BodyLimits, Caller, Decision, EntryId, Finding, Message, MessageId, Org, Person, PluginId,
        RunStage, RunState, Step, Subject, User, UserId,
    },
    plugin::{BeforeSend, Door, Hooks, StandIn},
    service::history::Page,
};

const BACKTEST: Error = Error::NotFound(std::borrow::Cow::Borrowed("this backtest"));

/// Stored messages that are read at a time.
const PART: i64 = 100;
/// After so long without a word its server is taken to be gone.
const SILENT: Duration = Duration::from_mins(2);

/// What is to be asked about how many messages.
pub struct BacktestCommand {
    /// SHA-256 in hex; the newest upload where it is left out.
    pub version: Option<String>,
    /// In place of the plugin's own.
    pub config: Option<Config>,
    /// As many as may be where it is left out.
    pub messages: Option<u64>,
}

/// A backtest at work.
struct Backtest {
    plugins: Plugins,
    org: Arc<Org>,
    run: EntryId,
    plugin: PluginId,
    name: String,
    hooks: Hooks,
    stand_in: Arc<StandIn>,
    past: Arc<Past>,
    wanted: u64,
}

/// What stored messages are asked about with.
struct Part {
    messages: Vec<Message>,
    decisions: HashMap<MessageId, Decision>,
    users: HashMap<UserId, Arc<User>>,
    people: HashMap<UserId, Person>,
}

impl Plugins {
    /// Starts to ask a version about the org's newest messages. An org has one backtest at a
    /// time.
    pub async fn start_backtest(
        &self,
        caller: &Caller,
        name: &str,
        command: BacktestCommand,
    ) -> Result<RunEntry> {
        let most = self.stages.settings.backtest_messages;
        let wanted = command.messages.unwrap_or(most);
        if !(1..=most).contains(&wanted) {
            return Err(Error::invalid("messages", format!("must be from 1 to {most}")));
        }
        if let Some(config) = &command.config {
            check_config(config)?;
        }
        let candidate = self.candidate(caller, name, command.version.as_deref()).await?;
        let own_config = command.config.is_some();
        let config = command.config.unwrap_or_else(|| candidate.row.config.clone());
        self.require_taken(caller, name, &hex(&candidate.sha256), &config).await?;
        let run = self.insert_backtest(caller, &candidate, (wanted, own_config)).await?;
        let past = Arc::new(Past::new(Arc::clone(&self.stages.guests)));
        let reads = candidate.reads(Arc::clone(&past) as _);
        let (hooks, stand_in) = self.rehearsal(caller.org.id, &candidate, config, reads).await?;
        let backtest = Backtest {
            plugins: self.clone(),
            org: Arc::clone(&caller.org),
            run,
            plugin: candidate.row.id,
            name: candidate.row.name,
            hooks,
            stand_in,
            past,
            wanted,
        };
        tokio::spawn(backtest.run());
        self.read_backtest(caller, name, run).await
    }

    async fn insert_backtest(
        &self,
        caller: &Caller,
        candidate: &Candidate,
        (wanted, own_config): (u64, bool),
    ) -> Result<EntryId> {
        let Candidate { row, sha256, .. } = candidate;
        let run = NewRun {
            plugin_id: row.id,
            sha256,
            stage: RunStage::Backtest,
            wanted,
            own_config,
            started_by: caller.user.id,
        };
        let (mut tx, _) = self.lock(caller, &row.name).await?;
        break_off(&mut tx.conn()).await?;
        let started = runs::start(&mut tx.conn(), &run).await?.ok_or_else(|| {
            Error::Conflict(
                "a backtest of this org is running: wait for its end, or cancel it first".into(),
            )
        })?;
        let detail = json!({
            "version": hex(sha256), "messages": wanted, "ownConfig": own_config,
        });
        note(&mut tx, caller, &row.name, &Deed { action: "plugin.backtest", detail }).await?;
        tx.commit().await?;
        Ok(started)
    }

    /// How far a backtest is, and what it has found.
    pub async fn read_backtest(
        &self,
        caller: &Caller,
        name: &str,
        id: EntryId,
    ) -> Result<RunEntry> {
        let mut handle = self.db.org(caller.org.id).await?;
        let conn = &mut handle.conn();
        break_off(conn).await?;
        let plugin = find_plugin(conn, name).await?;
        let row = runs::find_backtest(conn, plugin.id, id).await?.ok_or(BACKTEST)?;
        read(conn, plugin, RunStage::Backtest, row).await
    }

    /// Ends a backtest, wherever it runs; what it has found so far stays.
    pub async fn cancel_backtest(
        &self,
        caller: &Caller,
        name: &str,
        id: EntryId,
    ) -> Result<RunEntry> {
        let (mut tx, plugin) = self.lock(caller, name).await?;
        let row = runs::find_backtest(&mut tx.conn(), plugin.id, id).await?.ok_or(BACKTEST)?;
        if !runs::end(&mut tx.conn(), row.id, RunState::Ended).await? {
            return Err(Error::Conflict("this backtest has ended already".into()));
        }
        let detail = json!({ "version": hex(&row.sha256) });
        note(&mut tx, caller, name, &Deed { action: "plugin.backtest.cancel", detail }).await?;
        tx.commit().await?;
        self.read_backtest(caller, name, id).await
    }

    /// The messages on which the candidate and the active version differ, or all.
    pub async fn list_backtest_results(
        &self,
        caller: &Caller,
        (name, id): (&str, EntryId),
        place: (bool, Option<EntryId>, i64),
    ) -> Result<Page<ResultRow, EntryId>> {
        let mut handle = self.db.org(caller.org.id).await?;
        let conn = &mut handle.conn();
        let plugin = find_plugin(conn, name).await?;
        let row = runs::find_backtest(conn, plugin.id, id).await?.ok_or(BACKTEST)?;
        page(conn, row.id, place).await
    }
}

async fn break_off(conn: &mut OrgConn<'_>) -> Result<()> {
    let silent = i64::try_from(SILENT.as_millis()).unwrap_or(i64::MAX);
    Ok(runs::break_off_silent(conn, silent).await?)
}

/// Leaves the machine to live messages for most of the time, after each little while of work.
struct Pace {
    share: u32,
    began: Instant,
}

impl Pace {
    const WHILE: Duration = Duration::from_millis(2);

    fn new(busy_percent: u32) -> Self {
        Self { share: busy_percent.clamp(1, 100), began: Instant::now() }
    }

    async fn keep(&mut self) {
        let worked = self.began.elapsed();
        if worked >= Self::WHILE {
            tokio::time::sleep(worked * (100 - self.share) / self.share).await;
            self.began = Instant::now();
        }
    }
}

impl Backtest {
    async fn run(self) {
        let org = self.org.id;
        if let Err(error) = self.ask_all().await {
            tracing::warn!(%error, org.id = %org, plugin.name = self.name, "a backtest broke off");
            if let Err(error) = self.end(RunState::BrokenOff).await {
                // Its silence says the same in a while.
                tracing::warn!(%error, org.id = %org, "the end of a backtest could not be noted");
            }
        }
    }

    async fn ask_all(&self) -> Result<()> {
        let (mut below, mut left) = (None, self.wanted);
        let mut pace = Pace::new(self.plugins.stages.settings.backtest_busy_percent);
        while left > 0 {
            let most = i64::try_from(left).unwrap_or(PART).min(PART);
            let part = self.load(below, most).await?;
            let Some(last) = part.messages.last() else { break };
            below = Some(last.id);
            let asked = part.messages.len() as u64;
            left -= asked;
            let mut findings = Vec::new();
            for message in &part.messages {
                findings.extend(self.ask(&part, message).await);
                pace.keep().await;
            }
            if !self.record(asked, &findings).await? {
                return Ok(());
            }
            pace.keep().await;
        }
        self.end(RunState::Finished).await
    }

    async fn load(&self, below: Option<MessageId>, most: i64) -> Result<Part> {
        let mut handle = self.plugins.db.org_for_plugin(self.org.id).await?;
        let conn = &mut handle.conn();
        let messages = messages::list_past(conn, below, most).await?;
        let ids: Vec<MessageId> = messages.iter().map(|message| message.id).collect();
        let mut people: Vec<UserId> =
            messages.iter().flat_map(|message| [message.sender_id, message.recipient_id]).collect();
        people.sort_unstable();
        people.dedup();
        let users = users::list(conn, &people).await?.into_iter();
        Ok(Part {
            decisions: flags::list_decisions(conn, &ids).await?.into_iter().collect(),
            users: users.map(|user| (user.id, Arc::new(user))).collect(),
            people: persons::map(conn, &people).await?,
            messages,
        })
    }

    /// What the candidate makes of a stored message; `None`: it has no say about it, or one of
    /// its two people is gone.
    async fn ask(&self, part: &Part, message: &Message) -> Option<Finding> {
        let sender = part.users.get(&message.sender_id)?;
        let to = part.users.get(&message.recipient_id)?;
        let caller = self.sender(sender, part.people.get(&sender.id)?);
        self.past.go_to(message);
        let ask = BeforeSend {
            caller: &caller,
            to,
            body: &message.body,
            reply_to: message.reply_to,
            previous: None,
            door: Door::Rest,
            attempt: 1,
            now: message.created_at,
            limits: &BodyLimits::from(&self.org.settings),
        };
        // Boxed, because a call is large as a future.
        let judgement = Box::pin(self.hooks.rehearse(&ask, 0)).await;
        keep_staged(&self.stand_in, self.org.id, self.plugin, &judgement);
        let word = judgement.word()?;
        let steps = part.decisions.get(&message.id).map_or(&[][..], |decision| &decision.steps);
        let active = Step::decisive_of(steps, &self.name);
        let subject = Subject::Message(message.id);
        Some(Finding::new(subject, (word, judgement.labels.clone()), active))
    }

    /// The sender, as far as it is known what their token said.
    fn sender(&self, user: &Arc<User>, person: &Person) -> Caller {
        Caller {
            org: Arc::clone(&self.org),
            user: Arc::clone(user),
            kind: person.kind,
            admin: false,
            roles: [].into(),
            issued_at: OffsetDateTime::UNIX_EPOCH,
            expires_at: OffsetDateTime::UNIX_EPOCH,
        }
    }

    /// Whether it is to go on.
    async fn record(&self, asked: u64, findings: &[Finding]) -> Result<bool> {
        let imports = import_rows(self.stand_in.take_answered());
        let progress = Progress { findings, imports: &imports, asked, dropped: 0 };
        let mut tx = self.plugins.db.begin_for_plugin(self.org.id).await?;
        let goes_on = runs::record(&mut tx.conn(), self.run, &progress).await?.is_some();
        tx.commit().await?;
        Ok(goes_on)
    }

    async fn end(&self, state: RunState) -> Result<()> {
        let mut handle = self.plugins.db.org_for_plugin(self.org.id).await?;
        runs::end(&mut handle.conn(), self.run, state).await?;
        Ok(())
    }
}
