//! Generated from `wit/`: the imports and types once, and one world for each hook, so that a
//! plugin exports the hooks that it names and no other.

pub mod base {
    wit_bindgen::generate!({
        path: "wit",
        inline: "
            package duologue:sdk;
            world base {
                import duologue:plugin/types@0.2.0;
                import duologue:plugin/log@0.2.0;
                import duologue:plugin/config@0.2.0;
                import duologue:plugin/history@0.2.0;
                import duologue:plugin/kv@0.2.0;
                import duologue:plugin/http@0.2.0;
                import duologue:plugin/secrets@0.2.0;
                import duologue:plugin/directory@0.2.0;
                import duologue:plugin/messages@0.2.0;
            }
        ",
        generate_all,
        additional_derives: [PartialEq],
        // They hold handles of secrets.
        additional_derives_ignore: ["secret", "header-value", "request"],
    });
}

/// The world of one hook, with a macro that exports it.
macro_rules! hook {
    ($module:ident, $world:literal, $export:literal) => {
        pub mod $module {
            wit_bindgen::generate!({
                path: "wit",
                inline: $world,
                with: {
                    "duologue:plugin/types@0.2.0": crate::bindings::base::duologue::plugin::types,
                },
                additional_derives: [PartialEq],
                pub_export_macro: true,
                export_macro_name: $export,
            });
        }
    };
}

hook!(
    validate_content,
    "package duologue:sdk; world validating { export duologue:plugin/validate-content@0.2.0; }",
    "export_validate_content"
);
hook!(
    before_send,
    "package duologue:sdk; world deciding { export duologue:plugin/before-send@0.2.0; }",
    "export_before_send"
);
hook!(
    on_notify,
    "package duologue:sdk; world notifying { export duologue:plugin/on-notify@0.2.0; }",
    "export_on_notify"
);
hook!(
    on_event,
    "package duologue:sdk; world listening { export duologue:plugin/on-event@0.2.0; }",
    "export_on_event"
);

/// Shares no words with the others.
pub mod lifecycle {
    wit_bindgen::generate!({
        path: "wit",
        inline: "package duologue:sdk; world checking { export duologue:plugin/lifecycle@0.2.0; }",
        pub_export_macro: true,
        export_macro_name: "export_lifecycle",
    });
}
