//! What `serve --demo` makes and prints.

use std::net::SocketAddr;

use serde_json::json;
use time::{Duration, OffsetDateTime};

use super::{CliError, output};
use crate::{
    Error,
    auth::MintClaims,
    domain::{Kind, OrgSlug},
    service::Operator,
    wire::KeyRequest,
};

const ORG: &str = "demo";

/// Makes the org `demo` with a key, where it is missing, and prints tokens and what to do
/// with them.
pub(super) async fn prepare(operator: &Operator, address: SocketAddr) -> Result<(), CliError> {
    let slug = OrgSlug::parse(ORG).map_err(|error| CliError::Usage(error.to_string()))?;
    match operator.create_org(&slug, Some("Demo"), None).await {
        Ok(_) | Err(Error::Conflict(_)) => {}
        Err(error) => return Err(error.into()),
    }
    let now = OffsetDateTime::now_utc();
    let keys = operator.list_keys(ORG).await?;
    if !keys.iter().any(|key| key.may_admin && key.usable_at(now)) {
        let request = KeyRequest { may_admin: true, ..KeyRequest::default() };
        operator.add_key(ORG, request.into_key()?.0).await?;
    }
    let alice = mint(operator, &slug, "alice", false).await?;
    let bob = mint(operator, &slug, "bob", false).await?;
    let admin = mint(operator, &slug, "admin", true).await?;
    let url = format!("http://{address}");
    let message = json!({ "to": "bob@demo.example", "content": "Hello Bob" });
    output::text(&format!(
        r"
Open {url}/ to see that the server is up.

An org `demo` is ready, with three people whose tokens count for a day. In another shell:

  export URL={url}
  export ALICE={alice}
  export BOB={bob}
  export ADMIN={admin}

Alice writes to Bob, and Bob reads it:

  curl -s $URL/community/messages -H orgid:demo -H 'Authorization: Bearer '$ALICE \
    -H Content-Type:application/json -d '{message}'
  curl -s $URL/community/messages/thread/alice@demo.example -H orgid:demo -H 'Authorization: Bearer '$BOB

Then let a plugin decide what passes:

  plugins/build.sh
  curl -s -X PUT $URL/admin/plugins/word-filter -H orgid:demo -H 'Authorization: Bearer '$ADMIN \
    --data-binary @plugins/target/wasm32-unknown-unknown/release/word-filter.wasm
  curl -s -X PUT $URL/admin/plugins/word-filter/config -H orgid:demo -H 'Authorization: Bearer '$ADMIN \
    -H Content-Type:application/json -d '{config}'
  curl -s -X POST $URL/admin/plugins/word-filter/activate -H orgid:demo -H 'Authorization: Bearer '$ADMIN

Whatever Alice writes now passes the filter. README.md goes on from here.

",
        config = json!({ "words": "darn", "mode": "mask" }),
    ))
}

async fn mint(
    operator: &Operator,
    slug: &OrgSlug,
    name: &str,
    admin: bool,
) -> Result<String, CliError> {
    let now = OffsetDateTime::now_utc();
    let claims = MintClaims {
        email: format!("{name}@demo.example"),
        subject: Some(name.to_owned()),
        org: Some(slug.clone()),
        name: None,
        zoneinfo: None,
        kind: Kind::Customer,
        admin,
        issued_at: now,
        expires_at: now + Duration::DAY,
    };
    Ok(operator.mint(ORG, claims).await?)
}
