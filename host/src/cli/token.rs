use std::time::Duration;

use clap::Args;
use serde_json::json;
use time::OffsetDateTime;

use super::{CliError, Opened, output};
use crate::{
    auth::MintClaims,
    domain::{Email, Kind, OrgSlug},
    service::Operator,
};

/// Sign a token for trying things out, with a secret of the org (`duologue key add ORG`).
///
/// A real app has its own backend sign them. Prints the token alone.
#[derive(Args)]
pub(super) struct TokenArgs {
    org: OrgSlug,
    /// Whose token it is
    #[arg(long)]
    email: String,
    /// The token's `sub`; left out, the e-mail stands for it
    #[arg(long)]
    sub: Option<String>,
    #[arg(long)]
    name: Option<String>,
    /// Their time zone, such as Europe/Berlin: what plugins go by that decide on notifications
    #[arg(long, value_parser = parse_zone)]
    zoneinfo: Option<String>,
    /// customer or staff
    #[arg(long, default_value = "customer")]
    kind: String,
    /// With the role admin; needs a key added with --may-admin
    #[arg(long)]
    admin: bool,
    /// How long it counts: 90s, 15m, 1h, 7d
    #[arg(long, default_value = "1h", value_parser = parse_ttl)]
    ttl: Duration,
    /// Print JSON for a script
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: TokenArgs, opened: &Opened) -> Result<(), CliError> {
    let expires_at = OffsetDateTime::now_utc() + args.ttl;
    let json = args.json;
    let token = mint(&opened.operator, args).await?;
    if json {
        return output::json(&json!({ "token": token, "exp": expires_at.unix_timestamp() }));
    }
    output::line(token)
}

async fn mint(operator: &Operator, args: TokenArgs) -> Result<String, CliError> {
    Email::parse(&args.email)
        .map_err(|error| CliError::Usage(format!("{} {error}", args.email)))?;
    let kind = match args.kind.as_str() {
        "customer" => Kind::Customer,
        "staff" => Kind::Staff,
        other => return Err(CliError::Usage(format!("{other} is not customer or staff"))),
    };
    let now = OffsetDateTime::now_utc();
    let slug = args.org.clone();
    let claims = MintClaims {
        email: args.email,
        subject: args.sub,
        org: Some(args.org),
        name: args.name,
        zoneinfo: args.zoneinfo,
        kind,
        admin: args.admin,
        issued_at: now,
        expires_at: now + args.ttl,
    };
    Ok(operator.mint(slug.as_str(), claims).await?)
}

fn parse_zone(name: &str) -> Result<String, String> {
    let known = jiff::tz::TimeZone::get(name);
    known.map(|_| name.to_owned()).map_err(|_| "must be a zone such as Europe/Berlin".to_owned())
}

fn parse_ttl(text: &str) -> Result<Duration, String> {
    const WANTED: &str = "must be of the form 90s, 15m, 1h or 7d";

    let unit = text.chars().last().ok_or(WANTED)?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 60 * 60,
        'd' => 24 * 60 * 60,
        _ => return Err(WANTED.to_owned()),
    };
    let count: u64 = text[..text.len() - 1].parse().map_err(|_| WANTED)?;
    let all = count.checked_mul(seconds).filter(|all| *all <= 3650 * 24 * 60 * 60);
    all.map(Duration::from_secs).ok_or_else(|| "must be at most 3650d".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lifetime_has_a_unit() {
        assert_eq!(parse_ttl("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(parse_ttl("7d"), Ok(Duration::from_hours(7 * 24)));
        for bad in ["", "7", "h", "-1h", "1w", "99999999999d", "1ä"] {
            assert!(parse_ttl(bad).is_err(), "{bad}");
        }
    }
}
