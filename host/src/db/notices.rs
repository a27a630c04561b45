use sqlx::postgres::PgListener;

use super::{Db, DbError};
use crate::domain::OrgId;

/// Hears of orgs that changed, on a connection of its own.
pub struct Notices(PgListener);

/// What a listener hears.
pub enum Notice {
    Changed(OrgId),
    /// The connection was lost for a while: anything may have changed.
    Missed,
}

impl Notices {
    pub async fn listen(db: &Db) -> Result<Self, DbError> {
        let mut listener = PgListener::connect_with(db.connections.pool()).await?;
        listener.listen("duologue_orgs").await?;
        Ok(Self(listener))
    }

    /// Waits for the next notice; reconnects by itself.
    pub async fn next(&mut self) -> Result<Notice, DbError> {
        let Some(notification) = self.0.try_recv().await? else {
            return Ok(Notice::Missed);
        };
        Ok(notification.payload().parse().map_or(Notice::Missed, Notice::Changed))
    }
}
