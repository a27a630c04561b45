//! A plugin is asked by itself about something made up, with the host code that asks about what is
//! real.

use std::{collections::BTreeMap, sync::Arc};

use time::OffsetDateTime;

use super::{
    BeforeSend, Door, Hook, Hooks, Installation, LogPage, OnEvent, OnNotify, PluginHost, Standing,
    What,
    call::Called,
    laid_out::LaidOut,
    stand_in::{ImportCount, StandIn, StandInLimits},
};
use crate::domain::{
    Body, BodyLimits, BotDraft, Caller, EventId, EventKind, Installed, Judgement, Message,
    MessageId, Notified, Outcome, PluginId, User, UserProfile,
};

/// Something made up that a plugin is asked about.
pub struct Scenario {
    /// Whose doing it is.
    pub caller: Caller,
    pub now: OffsetDateTime,
    pub act: Act,
    /// What the plugin finds where it asks the server.
    pub laid_out: LaidOut,
}

pub enum Act {
    Send(Box<MadeUpSend>),
    Happens {
        attempt: u32,
        what: Box<What>,
    },
    Notifies {
        attempt: u32,
        notice: Box<MadeUpNotice>,
    },
    /// It is to say whether it takes its configuration.
    Configures,
}

/// A recipient about to be told of a message.
pub struct MadeUpNotice {
    pub message: Message,
    pub sender: UserProfile,
    pub recipient: UserProfile,
    pub standing: Standing,
}

/// A new message, or an edit.
pub struct MadeUpSend {
    /// `None`: all that a message meets.
    pub hook: Option<Hook>,
    pub to: User,
    pub body: Body,
    pub reply_to: Option<MessageId>,
    /// What it was, where this is an edit.
    pub previous: Option<Body>,
    pub door: Door,
    pub attempt: u32,
    pub messages_24h: u32,
}

/// What a plugin made of a scenario.
#[derive(Default)]
pub struct Tried {
    /// A verdict, what it makes of a content or of a notification, `told`, `taken` or `refused`
    /// of a configuration, or `fault`.
    pub verdict: String,
    /// Which one.
    pub fault: Option<String>,
    /// The same in words.
    pub why: Option<String>,
    /// Of all its calls.
    pub micros: u64,
    /// The most that any of them had.
    pub memory_bytes: u64,
    /// `None`: it was not asked about a draft.
    pub judgement: Option<Judgement>,
    /// `None`: it was not asked about a notification, or gave no answer.
    pub notified: Option<Notified>,
    /// Why it does not take its configuration.
    pub refusal: Option<String>,
    /// What its store holds afterwards.
    pub kv: BTreeMap<String, String>,
    /// What it wanted to send.
    pub sent: Vec<BotDraft>,
    pub log: LogPage,
    pub imports: Vec<ImportCount>,
}

/// Why a plugin is not asked about a scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TryError {
    #[error("the plugin does not take part in {0}")]
    NoHook(&'static str),
    #[error("the plugin judges neither messages nor content of this type")]
    NotAsked,
    #[error("the plugin has not asked to hear of {0}")]
    NotHeard(&'static str),
}

/// Lines of the log that are shown.
const MOST_LINES: usize = 1000;

/// Asks a plugin about a scenario. Nothing of it is kept.
pub async fn try_out(
    host: &PluginHost,
    limits: StandInLimits,
    mut installation: Installation,
    scenario: Scenario,
) -> Result<Tried, TryError> {
    let Scenario { caller, now, act, laid_out } = scenario;
    let stand_in = Arc::new(StandIn::new(limits, laid_out, None));
    let hooks = Hooks::new(host.clone()).served_by(Arc::clone(&stand_in) as _);
    let (org, plugin) = (caller.org.id, installation.id);
    if let Act::Send(send) = &act
        && let Some(hook) = send.hook
    {
        require(&installation, hook)?;
        installation.hooks.retain(|taken| *taken == hook);
    }
    let trying = Trying { hooks: &hooks, caller: &caller, now };
    let mut tried = match act {
        Act::Send(send) => {
            hooks.replace(org, vec![installation]);
            let tried = trying.send(&send).await?;
            keep_staged(&stand_in, Installed { org_id: org, plugin_id: plugin }, &tried);
            tried
        }
        Act::Configures => trying.check(installation).await?,
        Act::Happens { attempt, what } => {
            require(&installation, Hook::OnEvent)?;
            if !installation.events.contains(&what.kind()) {
                return Err(TryError::NotHeard(what.kind().as_str()));
            }
            hooks.replace(org, vec![installation]);
            trying.tell(plugin, (attempt, &what), Arc::clone(&stand_in)).await
        }
        Act::Notifies { attempt, notice } => {
            require(&installation, Hook::OnNotify)?;
            hooks.replace(org, vec![installation]);
            trying.notify(attempt, &notice).await
        }
    };
    tried.log = hooks.read_log(org, plugin, 0, MOST_LINES);
    tried.imports = stand_in.answered();
    tried.sent = stand_in.sent();
    tried.kv = stand_in.keys();
    Ok(tried)
}

/// What a call wrote for a message that would be stored is there after it.
fn keep_staged(stand_in: &StandIn, plugin: Installed, tried: &Tried) {
    let judgement = tried.judgement.iter();
    let stored = judgement.filter(|judged| !matches!(judged.outcome, Outcome::Reject(_)));
    for staged in stored.flat_map(|judged| &judged.staged) {
        stand_in.commit(plugin, staged);
    }
}

fn require(installation: &Installation, hook: Hook) -> Result<(), TryError> {
    let takes_part = installation.hooks.contains(&hook);
    takes_part.then_some(()).ok_or(TryError::NoHook(hook.as_str()))
}

struct Trying<'a> {
    hooks: &'a Hooks,
    caller: &'a Caller,
    now: OffsetDateTime,
}

impl Trying<'_> {
    async fn send(&self, send: &MadeUpSend) -> Result<Tried, TryError> {
        let ask = BeforeSend {
            caller: self.caller,
            to: &send.to,
            body: &send.body,
            reply_to: send.reply_to,
            previous: send.previous.as_ref(),
            door: send.door,
            attempt: send.attempt,
            now: self.now,
            limits: &BodyLimits::from(&self.caller.org.settings),
        };
        let judgement = self.hooks.rehearse(&ask, send.messages_24h).await;
        let word = judgement.word().ok_or(TryError::NotAsked)?.clone();
        let steps = &judgement.steps;
        Ok(Tried {
            verdict: word.verdict,
            fault: word.fault,
            why: word.why,
            micros: steps.iter().map(|step| step.micros).sum(),
            memory_bytes: steps.iter().map(|step| step.memory_bytes).max().unwrap_or(0),
            judgement: Some(judgement),
            ..Tried::default()
        })
    }

    async fn check(&self, installation: Installation) -> Result<Tried, TryError> {
        const LIFECYCLE: TryError = TryError::NoHook("lifecycle");
        let compiled = installation.compiled.ok_or(LIFECYCLE)?;
        let plugin = (self.caller.org.id, installation.id);
        let asked = self.hooks.ask_check(&compiled, plugin, installation.config).await;
        let (called, _) = asked.ok_or(LIFECYCLE)?;
        let word = |said: &Result<(), String>| if said.is_ok() { "taken" } else { "refused" };
        let tried = Tried::alone(&called, word);
        Ok(Tried { refusal: called.outcome.ok().and_then(Result::err), ..tried })
    }

    async fn tell(
        &self,
        plugin: PluginId,
        (attempt, what): (u32, &What),
        stand_in: Arc<StandIn>,
    ) -> Tried {
        let told = OnEvent {
            org: &self.caller.org,
            plugin,
            id: EventId::new(),
            at: self.now,
            attempt,
            what,
            subject: self.caller.user.id,
            asker: None,
            correspondence: stand_in,
        };
        let called = self.hooks.tell(&told).await;
        Tried::alone(&called, |()| "told")
    }

    async fn notify(&self, attempt: u32, notice: &MadeUpNotice) -> Tried {
        let MadeUpNotice { message, sender, recipient, standing } = notice;
        let ask = OnNotify {
            org: &self.caller.org,
            message,
            sender,
            recipient,
            standing: *standing,
            attempt,
            now: self.now,
        };
        let called = self.hooks.rehearse_notification(&ask).await;
        let tried = Tried::alone(&called, |(word, _)| word);
        Tried { notified: called.outcome.ok().map(|(_, notified)| notified), ..tried }
    }
}

impl Tried {
    /// What came of one call about something else than a draft.
    fn alone<T>(called: &Called<T>, word: impl FnOnce(&T) -> &'static str) -> Self {
        let fault = called.outcome.as_ref().err();
        Self {
            verdict: called.outcome.as_ref().map_or("fault", word).to_owned(),
            fault: fault.map(|fault| fault.as_str().to_owned()),
            why: fault.map(ToString::to_string),
            micros: u64::try_from(called.took.as_micros()).unwrap_or(u64::MAX),
            memory_bytes: called.memory_bytes,
            ..Self::default()
        }
    }
}

impl What {
    fn kind(&self) -> EventKind {
        match self {
            Self::Sent(_) => EventKind::Sent,
            Self::Edited(_) => EventKind::Edited,
            Self::Deleted { .. } => EventKind::Deleted,
            Self::Read { .. } => EventKind::Read,
            Self::Held { .. } => EventKind::Held,
            Self::Released(_) => EventKind::Released,
            Self::Rejected { .. } => EventKind::Rejected,
            Self::UserOnline(_) => EventKind::UserOnline,
        }
    }
}
