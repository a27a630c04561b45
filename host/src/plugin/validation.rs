//! What the plugins that know a content type make of a content: `validate-content`.

use std::{
    ops::ControlFlow,
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::Value as Json;
use tokio::{sync::AcquireError, time::timeout};

use super::{
    Fault,
    answer::{self, Verdict},
    bindings::{types, validate_content},
    call::Called,
    catalog::Hook,
    chain::{Chain, Unanswered, step, without_answer},
    content::Rule,
    hooks::Installed,
    imports::Reach,
    plain_json::written_plainly,
};
use crate::domain::{Body, BodyLimits, ContentType, Outcome, Rejection, Run, Step, Violation};

/// A body on its way through the plugins that judge its type.
pub(super) struct Validation {
    /// As they left it.
    pub(super) body: Body,
    pub(super) outcome: Outcome,
    pub(super) steps: Vec<Step>,
    pub(super) runs: Vec<Option<Box<Run>>>,
    /// The outcome is a rejection because of what the content is like.
    pub(super) is_invalid: bool,
}

/// What a plugin makes of a body.
#[derive(Debug)]
pub(super) enum Validity {
    /// The body to go on with differs in its preview at most.
    Valid(Body),
    /// Its content is another one.
    Normalised(Body),
    Invalid(Vec<Violation>),
}

/// What a plugin's word about a body is held to.
#[derive(Clone, Copy)]
pub(super) struct ContentRules<'a> {
    /// The body that was asked about.
    pub(super) body: &'a Body,
    pub(super) limits: &'a BodyLimits,
    /// The plugin owns the type.
    pub(super) owns: bool,
}

const MAX_PREVIEW_CHARS: usize = 200;

impl Chain<'_> {
    /// First the owner of the type, then those who tighten it: each sees what the one before it
    /// left. `None`: nobody judges that type.
    pub(super) async fn validate(&self, body: &Body) -> Option<Validation> {
        self.validators(body).next()?;
        // Boxed, so that messages whose type nobody judges do not carry it along.
        Some(Box::pin(self.ask_validators(body)).await)
    }

    fn validators(&self, body: &Body) -> impl Iterator<Item = &Installed> {
        let judges = |plugin: &&Installed| {
            plugin.content_types.find(&body.content_type).is_some() && plugin.takes(self.ask)
        };
        self.plugins.at(Hook::ValidateContent).filter(judges)
    }

    async fn ask_validators(&self, body: &Body) -> Validation {
        let mut validation = Validation {
            body: body.clone(),
            outcome: Outcome::Send,
            steps: Vec::new(),
            runs: Vec::new(),
            is_invalid: false,
        };
        // Filters look for words, and not for how JSON may spell them.
        validation.write_plainly();
        for plugin in self.validators(body) {
            let called = self.validity(plugin, &validation.body).await;
            plugin.count(Hook::ValidateContent, &called, Validity::as_str);
            if validation.take(plugin, called).is_break() {
                break;
            }
        }
        validation.write_plainly();
        validation
    }

    /// What one plugin makes of a body. The server holds it to the plugin's schema by itself,
    /// also where the plugin cannot be asked.
    async fn validity(&self, plugin: &Installed, body: &Body) -> Called<Validity> {
        let began = Instant::now();
        let Some(rule) = plugin.content_types.find(&body.content_type) else {
            return Called::never(Fault::Unloadable, Duration::ZERO);
        };
        match self.violations(plugin, rule, &body.content).await {
            Ok(violations) if violations.is_empty() => {}
            Ok(violations) => {
                return Called::unasked(Ok(Validity::Invalid(violations)), began.elapsed());
            }
            Err(fault) => return Called::never(fault, began.elapsed()),
        }
        let question = self.question(plugin, body, Reach::Looking);
        let rules = ContentRules { body, limits: self.ask.limits, owns: rule.is_owners() };
        let asking = plugin.ask(Hook::ValidateContent, self.ask.caller.user.id, async |compiled| {
            let guest = Arc::clone(&plugin.callee);
            let called = self.turn.validate(compiled, guest, question, rules).await;
            self.hold_to_schema(plugin, rule, called).await
        });
        asking.await
    }

    /// A normalised content is held to the schema as well.
    async fn hold_to_schema(
        &self,
        plugin: &Installed,
        rule: &Rule,
        mut called: Called<Validity>,
    ) -> Called<Validity> {
        if let Ok(Validity::Normalised(body)) = &called.outcome {
            match self.violations(plugin, rule, &body.content).await {
                Ok(violations) if violations.is_empty() => {}
                Ok(_) => called.outcome = Err(invalid("what it normalised breaks its own schema")),
                Err(fault) => called.outcome = Err(fault),
            }
        }
        called
    }

    /// What of a content breaks the rule of its type.
    async fn violations(
        &self,
        plugin: &Installed,
        rule: &Rule,
        content: &str,
    ) -> Result<Vec<Violation>, Fault> {
        let schema = match rule {
            Rule::Tightened => return Ok(Vec::new()),
            Rule::Unreadable => return Err(Fault::Unloadable),
            Rule::Json => None,
            Rule::Schema(schema) => Some(Arc::clone(schema)),
        };
        let content: Json = match serde_json::from_str(content) {
            Ok(content) => content,
            Err(error) => {
                return Ok(vec![Violation::of_all(format!("must be a JSON text: {error}"))]);
            }
        };
        let Some(schema) = schema else { return Ok(Vec::new()) };
        // A schema of a stranger's may take long: it takes one of the org's places, aside from
        // the threads that serve everybody, and gives it back when it is done, heard or not.
        let places = async {
            let share = Arc::clone(&self.plugins.share).acquire_owned().await?;
            let checking = Arc::clone(&self.turn.host.0.checking).acquire_owned().await?;
            Ok::<_, AcquireError>((share, checking))
        };
        let places = timeout(self.limits().wait_for_instance, places).await;
        let places = places.map_err(|_| Fault::Busy)?.map_err(|_| Fault::Busy)?;
        let checking = tokio::task::spawn_blocking(move || {
            let violations = schema.violations(&content);
            drop(places);
            violations
        });
        let patience = self.turn.left().min(plugin.patience(Hook::ValidateContent, self.limits()));
        let checked = timeout(patience, checking).await.map_err(|_| Fault::TimedOut)?;
        checked.map_err(|_| Fault::Trapped("the check of its schema panicked".to_owned()))
    }
}

impl Validation {
    fn write_plainly(&mut self) {
        if matches!(self.body.content_type, ContentType::Namespaced(_))
            && let Some(plain) = written_plainly(&self.body.content)
        {
            self.body.content = plain;
        }
    }

    /// Adds what one plugin made of it. A break: nobody else is to be asked.
    fn take(&mut self, plugin: &Installed, called: Called<Validity>) -> ControlFlow<()> {
        let mut step = step(plugin, Hook::ValidateContent, &called);
        let outcome = match called.outcome {
            Ok(validity) => {
                validity.as_str().clone_into(&mut step.verdict);
                self.go_on(validity, &mut step)
            }
            Err(fault) => {
                let policy = Unanswered {
                    on_fault: plugin.on_content_fault,
                    rejection: Rejection::content_unchecked(),
                };
                without_answer(plugin, policy, &fault)
            }
        };
        self.steps.push(step);
        self.runs.push(called.run);
        let before = std::mem::replace(&mut self.outcome, Outcome::Send);
        self.outcome = before.tighten(outcome);
        match self.outcome {
            Outcome::Reject(_) => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        }
    }

    fn go_on(&mut self, validity: Validity, step: &mut Step) -> Outcome {
        match validity {
            Validity::Valid(body) => self.body = body,
            Validity::Normalised(body) => {
                step.changed = vec!["content".to_owned()];
                self.body = body;
            }
            Validity::Invalid(violations) => {
                self.is_invalid = true;
                return Outcome::Reject(Rejection::invalid_content(&violations));
            }
        }
        Outcome::Send
    }
}

impl Validity {
    pub(super) fn parse(
        answer: Result<validate_content::Validity, types::Failure>,
        rules: ContentRules<'_>,
    ) -> Result<Self, Fault> {
        match answer.map_err(|types::Failure::Declined(_)| Fault::Declined)? {
            validate_content::Validity::Valid(accepted) => Self::accepted(accepted, rules),
            validate_content::Validity::Invalid(violations) => {
                if !(1..=Violation::MOST).contains(&violations.len()) {
                    return Err(invalid("there must be 1 to 16 violations"));
                }
                let violations = violations.into_iter().map(Violation::try_from);
                Ok(Self::Invalid(violations.collect::<Result<_, _>>()?))
            }
        }
    }

    fn accepted(
        accepted: validate_content::Accepted,
        rules: ContentRules<'_>,
    ) -> Result<Self, Fault> {
        let validate_content::Accepted { content, preview } = accepted;
        if preview.is_some() && !rules.owns {
            return Err(invalid("a preview is only for a type that the plugin owns"));
        }
        let preview = preview
            .map(|text| answer::parse_text("preview", text, MAX_PREVIEW_CHARS))
            .transpose()?;
        let mut body = rules.body.clone();
        if rules.owns {
            body.preview = preview.filter(|text| !text.is_empty());
        }
        match content.filter(|content| *content != body.content) {
            None => Ok(Self::Valid(body)),
            Some(content) => {
                body.content = content;
                body.check(rules.limits).map_err(|broken| {
                    let why = broken.message;
                    invalid(&format!("what it normalised breaks a rule of `content`: it {why}"))
                })?;
                Ok(Self::Normalised(body))
            }
        }
    }

    /// The word for records and counters.
    pub(super) fn as_str(&self) -> &'static str {
        match self {
            Self::Valid(_) => "valid",
            Self::Normalised(_) => "normalised",
            Self::Invalid(_) => "invalid",
        }
    }
}

impl TryFrom<validate_content::Violation> for Violation {
    type Error = Fault;

    fn try_from(said: validate_content::Violation) -> Result<Self, Fault> {
        let is_pointer = said.path.is_empty() || said.path.starts_with('/');
        if !is_pointer {
            return Err(invalid("the path of a violation must be empty or begin with `/`"));
        }
        Ok(Self {
            path: answer::parse_text("path", said.path, Self::MAX_CHARS)?,
            message: answer::parse_text("message", said.message, Self::MAX_CHARS)?,
        })
    }
}

/// Turns a modification into a fault where it leaves what is no valid content; else the modified
/// body goes on as the validators left it.
pub(super) fn judge_modification(called: &mut Called<answer::Decision>, validation: &Validation) {
    if validation.is_invalid {
        called.outcome = Err(invalid("what it modified is no valid content of its type"));
    } else if let Ok(answer::Decision { verdict: Verdict::Modify(body), .. }) = &mut called.outcome
    {
        body.clone_from(&validation.body);
    }
}

fn invalid(reason: &str) -> Fault {
    Fault::InvalidAnswer(reason.to_owned())
}
