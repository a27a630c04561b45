use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{CliError, Opened, output};
use crate::{
    domain::KeyId,
    wire::{KeyRequest, KeyView, MintedKeyView},
};

#[derive(Subcommand)]
pub(super) enum KeyCommand {
    /// Add a key that may sign an org's tokens
    ///
    /// Give a secret, a public key or the address of a JWK set. With none of them a random
    /// secret is made and shown this once. Several keys may count at a time: add the new one,
    /// sign with it, then retire the old one.
    Add(Box<AddArgs>),
    /// List an org's keys, without their secrets
    List {
        org: String,
        /// Print JSON for a script
        #[arg(long)]
        json: bool,
    },
    /// End a key at once; the sockets that it vouched for are closed
    Retire {
        org: String,
        /// As `key list` shows it
        key: KeyId,
    },
}

#[derive(Args)]
pub(super) struct AddArgs {
    org: String,
    /// A shared secret (HS256, HS384, HS512), at least 32 bytes
    #[arg(long, group = "material")]
    secret: Option<String>,
    /// A file with a public key in PEM (RSA, EC P-256 or P-384, Ed25519)
    #[arg(long, group = "material", value_name = "FILE")]
    pem: Option<PathBuf>,
    /// The https address of a JWK set
    #[arg(long, group = "material", value_name = "URL")]
    jwks: Option<String>,
    /// The one algorithm that the key verifies
    #[arg(long)]
    alg: Option<String>,
    /// The key's name in a token's header
    #[arg(long)]
    kid: Option<String>,
    /// Tokens of this key may claim the role admin
    #[arg(long)]
    may_admin: bool,
    /// What `iss` must be
    #[arg(long)]
    issuer: Option<String>,
    /// What `aud` must name
    #[arg(long)]
    audience: Option<String>,
    /// The key counts from then on: 2027-01-31T12:00:00Z
    #[arg(long, value_name = "TIME")]
    not_before: Option<String>,
    /// The key counts until then
    #[arg(long, value_name = "TIME")]
    not_after: Option<String>,
    /// Take a secret of under 32 bytes; for tests only, it can be guessed
    #[arg(long)]
    allow_short: bool,
    /// Print JSON for a script
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(command: KeyCommand, opened: &Opened) -> Result<(), CliError> {
    let operator = &opened.operator;
    match command {
        KeyCommand::Add(args) => add(*args, opened).await,
        KeyCommand::List { org, json } => {
            let keys = operator.list_keys(&org).await?;
            if json {
                return output::json(&keys.iter().map(KeyView::from).collect::<Vec<_>>());
            }
            for key in keys {
                let algorithm = key.algorithm.map_or("any", crate::domain::Algorithm::as_str);
                let admin = if key.may_admin { "  may admin" } else { "" };
                let retired = if key.retired_at.is_some() { "  (retired)" } else { "" };
                let kind = key.kind.as_str();
                output::line(format!("{}  {kind}  {algorithm}{admin}{retired}", key.id))?;
            }
            Ok(())
        }
        KeyCommand::Retire { org, key } => {
            operator.retire_key(&org, key).await?;
            output::line(format!("retired key {key}"))
        }
    }
}

async fn add(args: AddArgs, opened: &Opened) -> Result<(), CliError> {
    let pem = match &args.pem {
        None => None,
        Some(path) => Some(
            std::fs::read_to_string(path).map_err(|error| CliError::File(path.clone(), error))?,
        ),
    };
    let request = KeyRequest {
        secret: args.secret,
        pem,
        jwks: args.jwks,
        algorithm: args.alg,
        kid: args.kid,
        issuer: args.issuer,
        audience: args.audience,
        may_admin: args.may_admin,
        allow_short: args.allow_short,
        not_before: args.not_before,
        not_after: args.not_after,
    };
    let (key, secret) = request.into_key()?;
    let key = opened.operator.add_key(&args.org, key).await?;
    if args.json {
        return output::json(&MintedKeyView { key: KeyView::from(&key), secret });
    }
    output::line(format!("added key {} to org {}", key.id, args.org))?;
    match secret {
        Some(secret) => output::line(format!("its secret, shown this once: {secret}")),
        None => Ok(()),
    }
}
