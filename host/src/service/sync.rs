//! What an app missed while it was away.

use std::{collections::HashMap, sync::Arc, time::Duration};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde::Deserialize;
use time::OffsetDateTime;

use super::people::People;
use crate::{
    Result,
    db::{
        Db,
        changes::{self, ChangePage, ChangeRow},
        messages,
    },
    domain::{Caller, Change, ChangeKind, Cursor, DeleteScope, Message, MessageId, User, UserId},
};

/// The most changes in one page, and how much their messages may come to.
const PAGE: i64 = 500;
const PAGE_BYTES: i64 = 256 * 1024;

/// The answer to a sync.
pub enum Sync {
    /// The cursor cannot prove that nothing is missing: load everything anew.
    Resync,
    /// Where to start from.
    Start { cursor: String },
    Page {
        changes: Vec<Change>,
        /// Everybody that the changes name.
        people: HashMap<UserId, Arc<User>>,
        cursor: String,
        more: bool,
    },
}

#[derive(Clone)]
pub struct SyncService {
    db: Db,
    people: People,
}

impl SyncService {
    pub fn new(db: Db, people: People) -> Self {
        Self { db, people }
    }

    /// The changes after a cursor; `None` asks where to start.
    pub async fn sync(&self, caller: &Caller, since: Option<&str>) -> Result<Sync> {
        let now = OffsetDateTime::now_utc();
        let me = caller.user.id;
        let mut handle = self.db.org(caller.org.id).await?;
        let Some(since) = since else {
            let extent = changes::load_extent(&mut handle.conn(), me).await?;
            return Ok(Sync::Start { cursor: encode(me, Cursor(extent.position), now) });
        };
        let lifetime = Duration::from_secs(u64::from(caller.org.settings.sync_days) * 86_400);
        let Some(Cursor(since)) = decode(since, me, now - lifetime) else {
            return Ok(Sync::Resync);
        };
        let page = changes::list(&mut handle.conn(), me, since, PAGE, PAGE_BYTES).await?;
        let ChangePage { changes: rows, more } = page;
        // Looked at after the list: what was removed before it was read counts as missing.
        let extent = changes::load_extent(&mut handle.conn(), me).await?;
        if since < extent.pruned_position || since > extent.position {
            return Ok(Sync::Resync);
        }
        let reached = rows.last().map_or(since, |row| row.position);
        let mut ids: Vec<MessageId> = rows
            .iter()
            .filter(|row| matches!(row.kind.as_str(), "message" | "updated"))
            .filter_map(|row| row.message_id)
            .collect();
        ids.sort();
        ids.dedup();
        let found = messages::list_by_id(&mut handle.conn(), me, &ids, i32::MAX).await?;
        handle.done();
        let found: HashMap<MessageId, Message> =
            found.into_iter().map(|message| (message.id, message)).collect();
        let changes: Vec<Change> = rows.iter().filter_map(|row| change(row, &found)).collect();
        let people = self.people.map(caller.org.id, &people_of(&changes)).await?;
        Ok(Sync::Page { changes, people, cursor: encode(me, Cursor(reached), now), more })
    }
}

/// What the kinds keep beside their message.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Detail {
    peer_id: UserId,
    by: Option<UserId>,
    scope: Option<DeleteScope>,
    #[serde(default)]
    was_unread: bool,
    #[serde(default)]
    up_to_seq: i64,
    #[serde(default)]
    count: i64,
    /// Milliseconds since 1970 UTC.
    #[serde(default)]
    read_at: i64,
}

impl Detail {
    fn read_at(&self) -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp_nanos(i128::from(self.read_at) * 1_000_000)
            .unwrap_or(OffsetDateTime::UNIX_EPOCH)
    }
}

/// A stored change with its message; `None` where the message is out of the reader's sight
/// by now (a later change says so).
fn change(row: &ChangeRow, found: &HashMap<MessageId, Message>) -> Option<Change> {
    let message = || row.message_id.and_then(|id| found.get(&id)).cloned();
    let detail = || row.detail.as_ref().and_then(|detail| Detail::deserialize(detail).ok());
    let kind = match row.kind.as_str() {
        "message" => ChangeKind::Message(message()?),
        "updated" => ChangeKind::Updated(message()?),
        "deleted" => {
            let detail = detail()?;
            ChangeKind::Deleted {
                message_id: row.message_id?,
                peer_id: detail.peer_id,
                scope: detail.scope?,
                was_unread: detail.was_unread,
            }
        }
        "read" => {
            let detail = detail()?;
            ChangeKind::Read {
                message_id: row.message_id?,
                by: detail.by?,
                peer_id: detail.peer_id,
                read_at: detail.read_at(),
            }
        }
        "threadRead" => {
            let detail = detail()?;
            ChangeKind::ThreadRead {
                peer_id: detail.peer_id,
                by: detail.by?,
                up_to_seq: detail.up_to_seq,
                count: detail.count,
                read_at: detail.read_at(),
            }
        }
        _ => return None,
    };
    Some(Change { position: Cursor(row.position), kind })
}

fn people_of(changes: &[Change]) -> Vec<UserId> {
    let mut ids: Vec<UserId> = changes
        .iter()
        .flat_map(|change| match &change.kind {
            ChangeKind::Message(message) | ChangeKind::Updated(message) => {
                [message.sender_id, message.recipient_id]
            }
            ChangeKind::Deleted { peer_id, .. } => [*peer_id, *peer_id],
            ChangeKind::Read { by, peer_id, .. } | ChangeKind::ThreadRead { by, peer_id, .. } => {
                [*by, *peer_id]
            }
        })
        .collect();
    ids.sort();
    ids.dedup();
    ids
}

/// A cursor says whose it is and when it was given, beside the position.
fn encode(user: UserId, Cursor(position): Cursor, now: OffsetDateTime) -> String {
    let mut bytes = Vec::with_capacity(32);
    bytes.extend(user.as_uuid().as_bytes());
    bytes.extend(position.to_be_bytes());
    bytes.extend(now.unix_timestamp().to_be_bytes());
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

/// `None` for what is no cursor, another person's, or given before `oldest`.
fn decode(text: &str, user: UserId, oldest: OffsetDateTime) -> Option<Cursor> {
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).ok()?;
    let bytes: [u8; 32] = bytes.try_into().ok()?;
    let position = i64::from_be_bytes(bytes[16..24].try_into().ok()?);
    let given_at = i64::from_be_bytes(bytes[24..].try_into().ok()?);
    let theirs = bytes[..16] == *user.as_uuid().as_bytes();
    (theirs && position >= 0 && given_at >= oldest.unix_timestamp()).then_some(Cursor(position))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_counts_only_for_its_person_and_its_time() {
        let (me, other, now) = (UserId::new(), UserId::new(), OffsetDateTime::now_utc());
        let cursor = encode(me, Cursor(7), now);

        assert_eq!(decode(&cursor, me, now - Duration::from_mins(1)), Some(Cursor(7)));
        assert_eq!(decode(&cursor, other, now - Duration::from_mins(1)), None);
        assert_eq!(decode(&cursor, me, now + Duration::from_mins(1)), None);
        assert_eq!(decode("abc", me, now), None);
    }
}
