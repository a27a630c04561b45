//! Requests, read field by field, so that an error names the field and what it must be.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

use crate::{
    Error, Result,
    domain::{Attachment, Body, ClientId, ContentType, Email, InvalidField, MessageId, Metadata},
    service::{Anchor, EditCommand, HISTORY_PAGE, MOST_IDS, PersonRef, SendCommand},
};

/// What a client may never say, for the server does.
const SERVER_OWNED: [&str; 9] =
    ["from", "id", "seq", "state", "createdAt", "editedAt", "deletedAt", "readAt", "prevSeq"];

/// A JSON object on its way to becoming a command; collects what is wrong with it.
pub struct Object {
    fields: Map<String, Json>,
    faults: Vec<InvalidField>,
}

impl Object {
    pub fn new(value: Json) -> Result<Self> {
        match value {
            Json::Object(fields) => Ok(Self { fields, faults: Vec::new() }),
            _ => Err(Error::Malformed("the request must be a JSON object".into())),
        }
    }

    fn fault(&mut self, field: &str, message: &str) {
        self.faults.push(InvalidField::new(field, message));
    }

    /// Takes a field; `null` is as good as absent.
    fn take(&mut self, field: &str) -> Option<Json> {
        self.fields.remove(field).filter(|value| !value.is_null())
    }

    fn text(&mut self, field: &str) -> Option<String> {
        if let Json::String(text) = self.take(field)? {
            return Some(text);
        }
        self.fault(field, "must be a string");
        None
    }

    fn refuse_server_owned(&mut self) {
        for field in SERVER_OWNED {
            if self.fields.contains_key(field) {
                self.fault(field, "is the server's to say; leave it out");
            }
        }
    }

    fn attachments(&mut self) -> Option<Vec<Attachment>> {
        let Json::Array(items) = self.take("attachments")? else {
            self.fault("attachments", "must be a list");
            return None;
        };
        if items.len() > Body::MAX_ATTACHMENTS {
            self.fault("attachments", "may be at most 10");
            return None;
        }
        let read = |(index, item): (usize, Json)| {
            // A list would do for the derive.
            let item = if item.is_object() { item } else { Json::Null };
            RawAttachment::deserialize(item).map(Attachment::from).map_err(|_| {
                InvalidField::new(
                    format!("attachments[{index}]"),
                    "must be {url, type, name, size} with a whole size of 0 or more",
                )
            })
        };
        match items.into_iter().enumerate().map(read).collect() {
            Ok(attachments) => Some(attachments),
            Err(fault) => {
                self.faults.push(fault);
                None
            }
        }
    }

    fn metadata(&mut self) -> Option<Metadata> {
        let value = self.take("metadata")?;
        Metadata::deserialize(value)
            .map_err(|_| self.fault("metadata", "must be an object whose values are strings"))
            .ok()
    }

    fn message_id(&mut self, field: &str) -> Option<MessageId> {
        let text = self.text(field)?;
        text.parse().map_err(|_| self.fault(field, "must be the id of a message")).ok()
    }

    fn finish(self) -> Result<()> {
        if self.faults.is_empty() { Ok(()) } else { Err(Error::Invalid(self.faults)) }
    }
}

/// An attachment as clients say it.
#[derive(Debug, Deserialize)]
pub(super) struct RawAttachment {
    url: String,
    #[serde(rename = "type")]
    media_type: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    size: u64,
}

impl From<RawAttachment> for Attachment {
    fn from(raw: RawAttachment) -> Self {
        Self { url: raw.url, media_type: raw.media_type, name: raw.name, size: raw.size }
    }
}

/// A send, as `POST /community/messages` and `sendMessage` say it. `key` is the header
/// `Idempotency-Key`.
pub fn parse_send(value: Json, key: Option<String>) -> Result<SendCommand> {
    let mut object = Object::new(value)?;
    object.refuse_server_owned();
    let to = object.text("to");
    if to.is_none() && object.faults.iter().all(|fault| fault.field != "to") {
        object.fault("to", "is missing: the recipient's e-mail");
    }
    let to = to.and_then(|to| {
        Email::parse(&to).map_err(|error| object.fault("to", &error.to_string())).ok()
    });
    let content = object.text("content").unwrap_or_default();
    let content_type = match object.text("contentType") {
        None => Some(ContentType::Text),
        Some(text) => ContentType::parse(&text).map_err(|fault| object.faults.push(fault)).ok(),
    };
    let attachments = object.attachments().unwrap_or_default();
    let metadata = object.metadata().unwrap_or_default();
    let reply_to = object.message_id("replyTo");
    let client_id = client_id(&mut object, key);
    object.finish()?;
    // Whatever is missing has left a fault behind.
    let (Some(to), Some(content_type)) = (to, content_type) else {
        return Err(Error::Invalid(Vec::new()));
    };
    let body = Body { content, content_type, attachments, metadata, preview: None };
    Ok(SendCommand { to, body, reply_to, client_id })
}

fn client_id(object: &mut Object, key: Option<String>) -> Option<ClientId> {
    let said = object.text("clientId");
    if let (Some(said), Some(key)) = (&said, &key)
        && said != key
    {
        object.fault("clientId", "differs from the header Idempotency-Key; give one of them");
    }
    ClientId::parse(said.or(key)?).map_err(|fault| object.faults.push(fault)).ok()
}

/// An edit, as `PATCH /community/messages/:id` says it.
pub fn parse_edit(value: Json) -> Result<EditCommand> {
    let mut object = Object::new(value)?;
    object.refuse_server_owned();
    for field in ["to", "contentType", "replyTo", "clientId"] {
        if object.fields.contains_key(field) {
            object.fault(field, "cannot be changed");
        }
    }
    let edit = EditCommand {
        content: object.text("content"),
        attachments: object.attachments(),
        metadata: object.metadata(),
    };
    object.finish()?;
    if edit.content.is_none() && edit.attachments.is_none() && edit.metadata.is_none() {
        return Err(Error::invalid("content", "or attachments or metadata must be given"));
    }
    Ok(edit)
}

/// The ids of a read mark: what is no id is passed over, more than 500 are too many.
pub fn parse_ids(value: &Json) -> Result<Vec<MessageId>> {
    let Json::Array(ids) = value else {
        return Err(Error::invalid("ids", "must be a list of message ids"));
    };
    if ids.len() > MOST_IDS {
        return Err(Error::invalid("ids", "may be at most 500"));
    }
    Ok(ids.iter().filter_map(|id| id.as_str()?.parse().ok()).collect())
}

/// `POST /community/messages/read`.
pub struct MarkRequest;

impl MarkRequest {
    pub fn parse(value: Json) -> Result<Vec<MessageId>> {
        let mut object = Object::new(value)?;
        match object.take("ids") {
            Some(ids) => parse_ids(&ids),
            None => Err(Error::invalid("ids", "is missing: a list of message ids")),
        }
    }
}

/// What `markRead` marks.
pub enum MarkTarget {
    Ids(Vec<MessageId>),
    Thread(PersonRef),
}

impl MarkTarget {
    pub fn parse(value: Json) -> Result<Self> {
        let mut object = Object::new(value)?;
        if let Some(id) = object.text("messageId") {
            return Ok(Self::Ids(id.parse().into_iter().collect()));
        }
        if let Some(ids) = object.take("ids") {
            return parse_ids(&ids).map(Self::Ids);
        }
        let thread = object.text("thread");
        object.finish()?;
        let peer = thread.as_deref().and_then(PersonRef::parse);
        peer.map(Self::Thread).ok_or_else(|| {
            Error::invalid("messageId", "or ids or thread (an e-mail or id) must be given")
        })
    }
}

/// `POST /community/notifications/read`: without `ids`, all.
pub struct NotificationsRequest;

impl NotificationsRequest {
    pub fn parse(value: Json) -> Result<Option<Vec<MessageId>>> {
        let mut object = Object::new(value)?;
        object.take("ids").map(|ids| parse_ids(&ids)).transpose()
    }
}

/// `?limit&cursor` of a list.
#[derive(Debug, Default, Deserialize)]
pub struct ListQuery {
    limit: Option<String>,
    cursor: Option<String>,
}

impl ListQuery {
    pub fn limit(&self, most: i64) -> Result<i64> {
        parse_limit(self.limit.as_deref(), most)
    }

    /// Where the list goes on; a cursor is what the page before said.
    pub fn cursor(&self) -> Result<Option<MessageId>> {
        let Some(cursor) = self.cursor.as_deref().filter(|cursor| !cursor.is_empty()) else {
            return Ok(None);
        };
        cursor
            .parse()
            .map(Some)
            .map_err(|_| Error::invalid("cursor", "must be the X-Next-Cursor of the page before"))
    }
}

/// `?limit&before&after&around` of a thread's history.
#[derive(Debug, Default, Deserialize, Serialize)]
pub struct ThreadQuery {
    limit: Option<String>,
    before: Option<String>,
    after: Option<String>,
    around: Option<String>,
}

impl ThreadQuery {
    pub fn limit(&self) -> Result<i64> {
        parse_limit(self.limit.as_deref(), HISTORY_PAGE)
    }

    pub fn anchor(&self) -> Result<Anchor> {
        let id = |field: &str, text: &str| {
            text.parse().map_err(|_| Error::invalid(field, "must be the id of a message"))
        };
        match (&self.before, &self.after, &self.around) {
            (None, None, None) => Ok(Anchor::Newest),
            (Some(text), None, None) => id("before", text).map(Anchor::Before),
            (None, Some(text), None) => id("after", text).map(Anchor::After),
            (None, None, Some(text)) => id("around", text).map(Anchor::Around),
            _ => Err(Error::invalid("before", "after and around exclude each other")),
        }
    }
}

/// A whole number from 1; more than the most is the most.
pub(super) fn parse_limit(text: Option<&str>, most: i64) -> Result<i64> {
    let Some(text) = text else { return Ok(most) };
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    // A number too long to read is larger than any limit.
    let limit = if is_number { text.parse().unwrap_or(i64::MAX) } else { 0 };
    if limit < 1 {
        return Err(Error::invalid("limit", "must be a whole number from 1"));
    }
    Ok(limit.min(most))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn faulty(value: Json) -> Vec<String> {
        match parse_send(value, None) {
            Err(Error::Invalid(fields)) => fields.into_iter().map(|fault| fault.field).collect(),
            Err(_) => vec!["unreadable".to_owned()],
            Ok(_) => Vec::new(),
        }
    }

    #[test]
    fn every_fault_of_a_send_is_named() {
        assert_eq!(faulty(json!({ "to": 7, "content": [] })), ["to", "content"]);
        assert_eq!(faulty(json!({ "to": "b@c.d", "content": "x", "from": "e@f.g" })), ["from"]);
        assert_eq!(faulty(json!({ "content": "x" })), ["to"]);
        assert_eq!(faulty(json!("text")), ["unreadable"]);
        assert!(faulty(json!({ "to": "b@c.d", "content": "x", "other": 1 })).is_empty());
    }

    #[test]
    fn two_different_keys_are_one_too_many() {
        let body = json!({ "to": "b@c.d", "content": "x", "clientId": "one" });

        assert!(parse_send(body.clone(), Some("one".into())).is_ok());
        assert!(parse_send(body, Some("two".into())).is_err());
    }

    #[test]
    fn a_limit_is_a_whole_number_from_one() {
        assert_eq!(parse_limit(None, 100).unwrap(), 100);
        assert_eq!(parse_limit(Some("7"), 100).unwrap(), 7);
        assert_eq!(parse_limit(Some("99999999999999999999999"), 100).unwrap(), 100);
        for bad in ["0", "-1", "NaN", "1e9", "", "1.5"] {
            assert!(parse_limit(Some(bad), 100).is_err(), "{bad}");
        }
    }
}
