//! After something about an org changed: sockets whose token no longer counts end, the
//! others go by what is now.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use tokio::sync::mpsc;

use super::{conn::Conn, hub::Hub};
use crate::{
    Result,
    domain::OrgId,
    service::{OpenSession, Services},
};

/// Reviews the sockets of each org that is named; `None` names all. What is named several
/// times meanwhile is looked at once.
pub(super) async fn run(
    hub: &Hub,
    services: &Services,
    mut changed: mpsc::UnboundedReceiver<Option<OrgId>>,
) {
    let mut named = Vec::new();
    while changed.recv_many(&mut named, 10_000).await > 0 {
        let orgs: HashSet<Option<OrgId>> = named.drain(..).collect();
        let orgs = if orgs.contains(&None) { [None].into() } else { orgs };
        for org_id in orgs {
            review_org(hub, services, org_id).await;
        }
    }
}

async fn review_org(hub: &Hub, services: &Services, org_id: Option<OrgId>) {
    let mut by_org: HashMap<OrgId, Vec<Arc<Conn>>> = HashMap::new();
    for conn in hub.of_org(org_id) {
        by_org.entry(conn.caller().org.id).or_default().push(conn);
    }
    for conns in by_org.into_values() {
        while let Err(error) = look_at(services, &conns).await {
            tracing::warn!(%error, "sockets could not be reviewed; trying again");
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }
}

/// Looks once at sockets of one org.
pub(super) async fn look_at(services: &Services, conns: &[Arc<Conn>]) -> Result<()> {
    let Some(first) = conns.first() else { return Ok(()) };
    let open: Vec<OpenSession> = conns
        .iter()
        .map(|conn| {
            let pass = conn.pass();
            OpenSession {
                socket: conn.key,
                user_id: pass.caller.user.id,
                key_id: pass.key_id,
                subject: pass.subject,
                issuer: pass.issuer,
                issued_at: pass.caller.issued_at,
            }
        })
        .collect();
    let review = services.sessions.review(&first.caller().org, &open).await?;
    for conn in conns {
        if review.ended.contains(&conn.key) {
            conn.disconnect();
        } else {
            conn.go_by(&review.org, review.people.get(&conn.caller().user.id));
        }
    }
    Ok(())
}
