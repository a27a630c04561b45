use clap::{Args, Subcommand};

use super::{CliError, Opened, output};
use crate::domain::Email;

#[derive(Subcommand)]
pub(super) enum UserCommand {
    /// Give an e-mail, with all its messages, to another subject of an issuer
    ///
    /// For somebody whose identity provider gave them a new `sub`. Their earlier tokens
    /// are refused from then on.
    Rebind(RebindArgs),
    /// Refuse all tokens issued until now, and close the sockets that they opened
    Revoke(RevokeArgs),
}

#[derive(Args)]
pub(super) struct RebindArgs {
    org: String,
    email: String,
    /// The token's `iss`; empty for tokens without one
    #[arg(long, default_value = "")]
    issuer: String,
    /// The token's `sub`
    #[arg(long)]
    subject: String,
}

#[derive(Args)]
pub(super) struct RevokeArgs {
    org: String,
    #[arg(required_unless_present = "everyone", conflicts_with = "everyone")]
    email: Option<String>,
    /// Everyone in the org
    #[arg(long)]
    everyone: bool,
}

pub(super) async fn run(command: UserCommand, opened: &Opened) -> Result<(), CliError> {
    match command {
        UserCommand::Rebind(args) => {
            let email = parse(&args.email)?;
            opened.operator.rebind(&args.org, &email, &args.issuer, &args.subject).await?;
            output::line(format!("{} now belongs to subject {}", email.as_str(), args.subject))
        }
        UserCommand::Revoke(args) => {
            let email = args.email.as_deref().map(parse).transpose()?;
            opened.operator.revoke(&args.org, email.as_ref()).await?;
            let whose = email.as_ref().map_or("everyone", Email::as_str);
            output::line(format!("refusing the tokens of {whose} that were issued until now"))
        }
    }
}

fn parse(text: &str) -> Result<Email, CliError> {
    Email::parse(text).map_err(|error| CliError::Usage(format!("{text} {error}")))
}
