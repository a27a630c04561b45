//! A send that waits to be stored.

use sha2::{Digest, Sha256};

use super::{Asked, Letter, Prepared, Queued, SendCommand, Sending, Sent, Target};
use crate::{
    Error, Result,
    domain::{Body, Rejection, Subject},
    service::{in_flight::Claim, receipts::Unsettled, writer::Stored},
};

impl Sending {
    /// Waits until a prepared send is stored.
    pub async fn finish(&self, mut prepared: Prepared) -> Result<Sent> {
        loop {
            let mut queued = match prepared {
                Prepared::Repeated(first) => return Ok(first),
                Prepared::Queued(queued) => queued,
            };
            let stored = queued.pending.stored().await?;
            if !matches!(stored, Stored::New(_))
                && let Some(heard) = queued.heard.take()
            {
                heard.forget();
            }
            match stored {
                Stored::New(message) => {
                    if let Some(heard) = queued.heard.take() {
                        heard.settle(Subject::Message(message.id));
                    }
                    let Queued { caller, recipient, .. } = queued;
                    let thread = (caller.org.id, message.thread_id);
                    // Looking costs far less than putting it in again.
                    if !self.threads.contains_key(&thread) {
                        self.threads.insert(thread, ());
                    }
                    let sender = caller.user.clone();
                    return Ok(Sent {
                        letter: Letter { message, sender, recipient },
                        is_new: true,
                    });
                }
                Stored::Duplicate => {
                    // It was stored before: by a request whose repeat this is.
                    let Queued { caller, draft, .. } = queued;
                    let first = match &draft.client_id {
                        Some(id) => {
                            Box::pin(self.find_first(&caller, id, &draft.request_hash)).await?
                        }
                        None => None,
                    };
                    return first.ok_or(Error::Unavailable(None));
                }
                // Boxed, because it is rare, and large as a future.
                Stored::Conflict(claim, receipts) => {
                    let again = self.judge_again(queued, claim, receipts);
                    prepared = Box::pin(again).await?;
                }
            }
        }
    }

    /// Asks the plugins once more about a message that could not be stored with what they had
    /// written for it. What was sent to the same person meanwhile goes before it.
    async fn judge_again(
        &self,
        queued: Queued,
        claim: Option<Claim>,
        receipts: Option<Unsettled>,
    ) -> Result<Prepared> {
        let Queued { caller, via, recipient, draft, again, .. } = queued;
        let Some(again) = again else {
            let origin = via.origin();
            let target = Target { recipient: recipient.id, message: None, origin };
            let rejection = Rejection::moderation_unavailable();
            self.refusals.note(&caller, target, &rejection, None);
            if let Some(receipts) = receipts {
                receipts.refused(rejection.id, None);
            }
            return Err(Error::Rejected(rejection));
        };
        let command = *again;
        let request_hash = draft.request_hash;
        let asked = Asked { command, request_hash, claim, attempt: 2, receipts };
        self.judge(&caller, via, asked).await
    }
}

/// Tells a retry from another request: what was asked, however it was spelled.
pub(super) fn hash(command: &SendCommand) -> [u8; 32] {
    let Body { content, content_type, attachments, metadata, preview: _ } = &command.body;
    let asked =
        (command.to.key(), content, content_type.as_str(), attachments, metadata, command.reply_to);
    let text = serde_json::to_vec(&asked).expect("strings and numbers have a JSON form");
    Sha256::digest(text).into()
}
