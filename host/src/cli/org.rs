use clap::{Args, Subcommand};
use serde_json::{Map, Value as Json, json};

use super::{CliError, Opened, output};
use crate::{
    domain::OrgSlug,
    service::{OrgChange, OrgEntry},
    wire::OrgView,
};

#[derive(Subcommand)]
pub(super) enum OrgCommand {
    /// Make an org
    ///
    /// Its name is what clients send as `orgid`. Give it a key next: `duologue key add ORG`.
    Create(CreateArgs),
    /// List all orgs
    List {
        /// Print JSON for a script
        #[arg(long)]
        json: bool,
    },
    /// Change an org's settings
    ///
    /// Settings are named as in JSON, with dots: `presence=off`, `limits.sendBurst=0`,
    /// `origins=["https://app.example"]`. `null` takes one back to the server's default.
    /// `duologue settings` lists them all, in its part [org].
    Set(SetArgs),
    /// Refuse all of an org's tokens and close its sockets; nothing is deleted
    Suspend(SuspendArgs),
}

#[derive(Args)]
pub(super) struct CreateArgs {
    /// 1 to 64 characters of A-Z a-z 0-9 . _ -
    org: OrgSlug,
    /// What people call it
    #[arg(long)]
    name: Option<String>,
    /// Print JSON for a script
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
pub(super) struct SetArgs {
    org: String,
    /// KEY=VALUE; a value is JSON, or else text
    #[arg(required = true, value_name = "KEY=VALUE")]
    settings: Vec<String>,
    /// Print JSON for a script
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
pub(super) struct SuspendArgs {
    org: String,
    /// Let the org go on
    #[arg(long)]
    undo: bool,
    /// Print JSON for a script
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(command: OrgCommand, opened: &Opened) -> Result<(), CliError> {
    let operator = &opened.operator;
    match command {
        OrgCommand::Create(args) => {
            let org = operator.create_org(&args.org, args.name.as_deref(), None).await?;
            let next = format!("made org {}; give it a key: duologue key add {0}", args.org);
            show(org, args.json, &next)
        }
        OrgCommand::List { json } => {
            let orgs = operator.list_orgs().await?;
            if json {
                return output::json(&orgs.into_iter().map(OrgView::from).collect::<Vec<_>>());
            }
            for OrgEntry { org, .. } in orgs {
                let state = if org.suspended { "  (suspended)" } else { "" };
                output::line(format!("{}  {}{state}", org.slug, org.name))?;
            }
            Ok(())
        }
        OrgCommand::Set(args) => {
            let settings = parse_settings(&args.settings)?;
            let change = OrgChange { settings: Some(settings), ..OrgChange::default() };
            let org = operator.change_org(&args.org, &change).await?;
            show(org, args.json, &format!("changed org {}", args.org))
        }
        OrgCommand::Suspend(args) => {
            let change = OrgChange { suspended: Some(!args.undo), ..OrgChange::default() };
            let org = operator.change_org(&args.org, &change).await?;
            let done = if args.undo { "is no longer suspended" } else { "is suspended" };
            show(org, args.json, &format!("org {} {done}", args.org))
        }
    }
}

fn show(org: OrgEntry, json: bool, text: &str) -> Result<(), CliError> {
    if json { output::json(&OrgView::from(org)) } else { output::line(text) }
}

/// From `a.b=1 c=text` to `{"a": {"b": 1}, "c": "text"}`.
fn parse_settings(pairs: &[String]) -> Result<Json, CliError> {
    let mut settings = json!({});
    for pair in pairs {
        let (path, value) = pair
            .split_once('=')
            .ok_or_else(|| CliError::Usage(format!("{pair} is not of the form KEY=VALUE")))?;
        let value: Json = serde_json::from_str(value).unwrap_or_else(|_| json!(value));
        let mut place = &mut settings;
        for key in path.split('.') {
            if !place.is_object() {
                *place = Json::Object(Map::new());
            }
            place = &mut place[key];
        }
        *place = value;
    }
    Ok(settings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_named_with_dots() {
        let pairs = ["limits.sendBurst=0", "limits.readBurst=5", "presence=off", "origins=[]"];

        let settings = parse_settings(&pairs.map(str::to_owned)).unwrap();

        assert_eq!(
            settings,
            json!({
                "limits": { "sendBurst": 0, "readBurst": 5 },
                "presence": "off",
                "origins": [],
            })
        );
    }
}
