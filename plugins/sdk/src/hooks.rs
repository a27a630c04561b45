use crate::{
    Body, Call, Context, Decision, Draft, Failure,
    bindings::{before_send, lifecycle, on_event, on_notify, validate_content},
    event, log, notify, validate,
};

/// A plugin. Each hook has a default that does nothing; only those that [`export!`](crate::export)
/// names are ever called.
pub trait Plugin {
    /// Judges what is about to be stored: a new message, or an edit of the body `previous`.
    ///
    /// ```
    /// use duologue_plugin::*;
    ///
    /// struct Calm;
    ///
    /// impl Plugin for Calm {
    ///     fn before_send(_: Context, draft: Draft, _: Option<Body>) -> Result<Decision, Failure> {
    ///         let content = draft.body.content.replace("!!!", "!");
    ///         if content == draft.body.content {
    ///             return Ok(Decision::pass());
    ///         }
    ///         Ok(Decision::modify(Patch::content(content)).explain("fewer exclamation marks"))
    ///     }
    /// }
    ///
    /// let decision = Calm::before_send(testing::context(), testing::draft("Hey!!!"), None).unwrap();
    /// assert_eq!(decision.verdict, Verdict::Modify(Patch::content("Hey!")));
    /// ```
    fn before_send(
        context: Context,
        draft: Draft,
        previous: Option<Body>,
    ) -> Result<Decision, Failure> {
        let _ = (context, draft, previous);
        Ok(Decision::pass())
    }

    /// The content types that [`Plugin::validate`] judges. Asked once, at upload.
    fn content_types() -> Vec<validate::ContentType> {
        Vec::new()
    }

    /// Judges content of the types that [`Plugin::content_types`] names.
    ///
    /// ```
    /// use duologue_plugin::{*, validate::{ContentType, Validity}};
    ///
    /// struct Shouts;
    ///
    /// impl Plugin for Shouts {
    ///     fn content_types() -> Vec<ContentType> {
    ///         vec![ContentType::owned("acme.shout", r#"{"type": "string", "maxLength": 20}"#)]
    ///     }
    ///
    ///     fn validate(_: Context, body: Body) -> Result<Validity, Failure> {
    ///         if body.content != body.content.to_uppercase() {
    ///             return Ok(Validity::wrong("", "must be in capitals"));
    ///         }
    ///         Ok(Validity::preview(body.content))
    ///     }
    /// }
    ///
    /// let said = testing::body("acme.shout", r#""hey""#);
    /// let validity = Shouts::validate(testing::context(), said).unwrap();
    /// assert_eq!(validity, Validity::wrong("", "must be in capitals"));
    /// ```
    fn validate(context: Context, body: Body) -> Result<validate::Validity, Failure> {
        let _ = (context, body);
        Ok(validate::Validity::valid())
    }

    /// Decides how a recipient is told of a message that is stored already.
    ///
    /// ```
    /// use duologue_plugin::{*, notify::{Decision, Notification, Recipient}};
    ///
    /// struct Nights;
    ///
    /// impl Plugin for Nights {
    ///     fn on_notify(call: Call, _: Notification, to: Recipient) -> Result<Decision, Failure> {
    ///         match to.local {
    ///             Some(time) if time.hour < 7 => {
    ///                 let minutes = 7 * 60 - u64::from(time.hour) * 60 - u64::from(time.minute);
    ///                 Ok(Decision::delay(call.now_ms + minutes * 60_000))
    ///             }
    ///             _ => Ok(Decision::deliver()),
    ///         }
    ///     }
    /// }
    ///
    /// let at_six = testing::recipient(Some(testing::local_time(6, 0)));
    /// let decision = Nights::on_notify(testing::call(), testing::notification("hi"), at_six);
    /// assert_eq!(decision, Ok(Decision::delay(testing::call().now_ms + 3_600_000)));
    /// ```
    fn on_notify(
        call: Call,
        notification: notify::Notification,
        recipient: notify::Recipient,
    ) -> Result<notify::Decision, Failure> {
        let _ = (call, notification, recipient);
        Ok(notify::Decision::deliver())
    }

    /// The kinds of events that [`Plugin::on_event`] is told of. Asked once, at upload.
    fn event_kinds() -> Vec<event::Kind> {
        Vec::new()
    }

    /// Hears of what happened. It is told again later where it fails.
    ///
    /// ```
    /// use duologue_plugin::{*, event::{Event, Kind, What}};
    ///
    /// struct Diary;
    ///
    /// impl Plugin for Diary {
    ///     fn event_kinds() -> Vec<Kind> {
    ///         vec![Kind::Sent]
    ///     }
    ///
    ///     fn on_event(_: Call, event: Event) -> Result<(), Failure> {
    ///         if let What::Sent(message) = event.what {
    ///             log::info(&format!("{} was sent", message.id));
    ///         }
    ///         Ok(())
    ///     }
    /// }
    ///
    /// let event = testing::event(What::Sent(testing::message("hi")));
    /// Diary::on_event(testing::call(), event).unwrap();
    /// assert_eq!(testing::take_log().len(), 1);
    /// ```
    fn on_event(call: Call, event: event::Event) -> Result<(), Failure> {
        let _ = (call, event);
        Ok(())
    }

    /// Says whether it can work with the configuration, before it decides anything. The admin
    /// reads the error.
    ///
    /// ```
    /// use duologue_plugin::*;
    ///
    /// struct Picky;
    ///
    /// impl Plugin for Picky {
    ///     fn check() -> Result<(), String> {
    ///         config::get("words").map(drop).ok_or("`words` is not set".to_owned())
    ///     }
    /// }
    ///
    /// assert_eq!(Picky::check(), Err("`words` is not set".to_owned()));
    /// testing::set_config([("words", "tea, coffee")]);
    /// assert_eq!(Picky::check(), Ok(()));
    /// ```
    fn check() -> Result<(), String> {
        Ok(())
    }
}

/// Makes a component of a [`Plugin`]: names the hooks that it takes part in, each once, of
/// `before_send`, `validate_content`, `on_notify`, `on_event` and `lifecycle` (for
/// [`Plugin::check`]).
///
/// ```
/// # struct Mine;
/// # impl duologue_plugin::Plugin for Mine {}
/// duologue_plugin::export!(Mine: before_send, lifecycle);
/// ```
#[macro_export]
macro_rules! export {
    ($plugin:ident: $($hook:ident),+ $(,)?) => {
        $($crate::export!(@ $plugin $hook);)+
    };
    (@ $plugin:ident before_send) => {
        $crate::bindings::before_send::export_before_send!(
            $plugin with_types_in $crate::bindings::before_send
        );
    };
    (@ $plugin:ident validate_content) => {
        $crate::bindings::validate_content::export_validate_content!(
            $plugin with_types_in $crate::bindings::validate_content
        );
    };
    (@ $plugin:ident on_notify) => {
        $crate::bindings::on_notify::export_on_notify!(
            $plugin with_types_in $crate::bindings::on_notify
        );
    };
    (@ $plugin:ident on_event) => {
        $crate::bindings::on_event::export_on_event!(
            $plugin with_types_in $crate::bindings::on_event
        );
    };
    (@ $plugin:ident lifecycle) => {
        $crate::bindings::lifecycle::export_lifecycle!(
            $plugin with_types_in $crate::bindings::lifecycle
        );
    };
}

impl<T: Plugin> before_send::exports::duologue::plugin::before_send::Guest for T {
    fn before_send(
        context: Context,
        draft: Draft,
        previous: Option<Body>,
    ) -> Result<Decision, Failure> {
        log::take_panics();
        T::before_send(context, draft, previous)
    }
}

impl<T: Plugin> validate_content::exports::duologue::plugin::validate_content::Guest for T {
    fn content_types() -> Vec<validate::ContentType> {
        log::take_panics();
        T::content_types()
    }

    fn validate(context: Context, body: Body) -> Result<validate::Validity, Failure> {
        log::take_panics();
        T::validate(context, body)
    }
}

impl<T: Plugin> on_notify::exports::duologue::plugin::on_notify::Guest for T {
    fn on_notify(
        call: Call,
        notification: notify::Notification,
        recipient: notify::Recipient,
    ) -> Result<notify::Decision, Failure> {
        log::take_panics();
        T::on_notify(call, notification, recipient)
    }
}

impl<T: Plugin> on_event::exports::duologue::plugin::on_event::Guest for T {
    fn kinds() -> Vec<event::Kind> {
        log::take_panics();
        T::event_kinds()
    }

    fn on_event(call: Call, event: event::Event) -> Result<(), Failure> {
        log::take_panics();
        T::on_event(call, event)
    }
}

impl<T: Plugin> lifecycle::exports::duologue::plugin::lifecycle::Guest for T {
    fn check() -> Result<(), String> {
        log::take_panics();
        T::check()
    }
}
