//! Decision receipts, within what the org lets its admins read.

use std::{borrow::Cow, collections::HashMap};

use serde_json::{Value as Json, json};

use super::Review;
use crate::{
    Error, Result,
    db::{
        audit,
        receipts::{self, ReceiptRow, Subject},
    },
    domain::{Actor, AdminReads, CallRecord, Caller, EntryId, HostCall, MessageId, RunContent},
};

/// One time that plugins were asked about a draft, as an admin may see it.
pub struct ReceiptEntry {
    pub row: ReceiptRow,
    pub calls: Vec<ReceiptCall>,
    /// Why nothing of it can be run again.
    pub not_replayable: Option<&'static str>,
}

/// One plugin's part.
pub struct ReceiptCall {
    pub record: CallRecord,
    pub config: Option<Json>,
    /// `None`: no guest ran, or the admin may not read it.
    pub content: Option<RunContent>,
}

const NONE: Error = Error::NotFound(Cow::Borrowed(
    "a decision receipt of that (there is none where no plugin was asked, after the org's \
     receiptDays, and where the server had too much to do to keep it; one that another server \
     made a moment ago may come yet)",
));
const NONE_OF_MESSAGE: Error = Error::NotFound(Cow::Borrowed(
    "a decision receipt of that message (there is none where no plugin was asked, after the org's \
     receiptDays, and where the server had too much to do to keep it; that of a refused draft is \
     at /admin/refusals/REQUEST/receipt, by the requestId of its error)",
));
const DELETED: &str = "a message that it shows was deleted";
const NOT_READABLE: &str = "the org's setting adminReads keeps what it says from its admins";
const HISTORY: &str = "it shows earlier messages, which only adminReads `all` lets admins read";

/// The most that one answer holds.
const MOST: i64 = 100;

impl Review {
    /// How plugins decided about a message each time that they were asked, newest first.
    pub async fn message_receipts(
        &self,
        caller: &Caller,
        id: MessageId,
    ) -> Result<Vec<ReceiptEntry>> {
        let rows = self.list_receipts(caller, Subject::Message(id)).await?;
        let readable = self.may_read_receipts(caller, (id, &id.to_string()), &rows).await?;
        self.receipts(caller, rows, readable).await
    }

    /// The same for a draft that was refused, by the `requestId` that its sender has read.
    ///
    /// Readable like what is held, if a plugin decided on it; what was refused because a plugin
    /// gave no answer nobody has objected to. A refused edit is as readable as its message.
    pub async fn refusal_receipts(
        &self,
        caller: &Caller,
        id: EntryId,
    ) -> Result<Vec<ReceiptEntry>> {
        let rows = self.list_receipts(caller, Subject::Request(id)).await?;
        let message = rows.iter().find_map(|row| row.message_id);
        let readable = if let Some(message) = message {
            self.may_read_receipts(caller, (message, &id.to_string()), &rows).await?
        } else {
            let readable = match caller.org.settings.admin_reads {
                AdminReads::None => false,
                AdminReads::HeldAndFlagged => rows.iter().all(is_decided),
                AdminReads::All => true,
            };
            if readable {
                let shown = shown(caller, &rows);
                let detail = json!({ "requestId": id, "messageIds": shown });
                let mut handle = self.db.org(caller.org.id).await?;
                let (actor, subject) = (Actor::User(caller.user.id), id.to_string());
                audit::insert(&mut handle.conn(), actor, "content.read", &subject, &detail).await?;
            }
            readable
        };
        self.receipts(caller, rows, readable).await
    }

    async fn list_receipts(&self, caller: &Caller, subject: Subject) -> Result<Vec<ReceiptRow>> {
        let mut rows = self.find_receipts(caller, subject).await?;
        if rows.is_empty() {
            // It may be on its way: receipts are stored behind the answer.
            self.receipts.settled(caller.org.id).await;
            rows = self.find_receipts(caller, subject).await?;
        }
        let none = match subject {
            Subject::Message(_) => NONE_OF_MESSAGE,
            Subject::Request(_) => NONE,
        };
        if rows.is_empty() { Err(none) } else { Ok(rows) }
    }

    async fn find_receipts(&self, caller: &Caller, subject: Subject) -> Result<Vec<ReceiptRow>> {
        let mut handle = self.db.org(caller.org.id).await?;
        Ok(receipts::list(&mut handle.conn(), subject, MOST).await?)
    }

    /// Whether what receipts of a message say may be read; noted before it is handed out.
    async fn may_read_receipts(
        &self,
        caller: &Caller,
        (id, subject): (MessageId, &str),
        rows: &[ReceiptRow],
    ) -> Result<bool> {
        let shown = shown(caller, rows);
        let looked = self.look_at_showing(caller, subject, &[id], &shown).await?;
        Ok(looked.get(&id).is_some_and(|reviewed| reviewed.readable))
    }

    async fn receipts(
        &self,
        caller: &Caller,
        rows: Vec<ReceiptRow>,
        readable: bool,
    ) -> Result<Vec<ReceiptEntry>> {
        let calls = rows.iter().flat_map(|row| &row.calls);
        let hashes: Vec<String> = calls.filter_map(|call| call.config_sha256.clone()).collect();
        let mut handle = self.db.org(caller.org.id).await?;
        let configs = receipts::list_configs(&mut handle.conn(), &hashes).await?;
        handle.done();
        let configs: HashMap<String, Json> = configs.into_iter().collect();
        let entries = rows.into_iter().map(|row| entry(caller, row, &configs, readable));
        entries.collect()
    }
}

fn entry(
    caller: &Caller,
    mut row: ReceiptRow,
    configs: &HashMap<String, Json>,
    readable: bool,
) -> Result<ReceiptEntry> {
    let content = row.content.take();
    let not_replayable = match &content {
        None => Some(DELETED),
        Some(_) if !readable => Some(NOT_READABLE),
        Some(_) => None,
    };
    let contents: Vec<Option<RunContent>> = match content.filter(|_| readable) {
        None => vec![None; row.calls.len()],
        Some(text) => serde_json::from_slice(&text).map_err(Error::internal)?,
    };
    let calls = std::mem::take(&mut row.calls).into_iter().zip(contents);
    let calls = calls.map(|(record, content)| {
        let config = record.config_sha256.as_ref().and_then(|hash| configs.get(hash).cloned());
        let mut call = ReceiptCall { record, config, content };
        if caller.org.settings.admin_reads != AdminReads::All {
            call.withhold_history();
        }
        call
    });
    Ok(ReceiptEntry { calls: calls.collect(), row, not_replayable })
}

impl ReceiptCall {
    fn withhold_history(&mut self) {
        let Some(content) = &mut self.content else { return };
        for call in content.host_calls.iter_mut().filter(|call| call.import == HostCall::HISTORY) {
            call.answered = json!({ "withheld": true });
            if let Some(run) = &mut self.record.run {
                run.not_replayable.get_or_insert_with(|| HISTORY.to_owned());
            }
        }
    }
}

/// A plugin decided on the refusal: it is not for want of an answer.
fn is_decided(row: &ReceiptRow) -> bool {
    row.calls.last().is_some_and(|call| call.step.fault.is_none())
}

/// The messages that these receipts show beside their own.
fn shown(caller: &Caller, rows: &[ReceiptRow]) -> Vec<MessageId> {
    if caller.org.settings.admin_reads != AdminReads::All {
        return Vec::new();
    }
    let with_content = rows.iter().filter(|row| row.content.is_some());
    with_content.flat_map(|row| row.shown.iter().copied()).collect()
}
