use super::{Attachment, Body, Metadata, OrgSettings};

/// A field of a request that breaks a rule, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} {message}")]
pub struct InvalidField {
    pub field: String,
    pub message: String,
}

impl InvalidField {
    pub fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { field: field.into(), message: message.into() }
    }
}

/// The part of an org's settings that a body is held to.
#[derive(Clone, Debug)]
pub struct BodyLimits {
    pub max_content_bytes: usize,
    pub http_attachments: bool,
}

impl From<&OrgSettings> for BodyLimits {
    fn from(settings: &OrgSettings) -> Self {
        Self {
            max_content_bytes: settings.max_content_bytes as usize,
            http_attachments: settings.http_attachments,
        }
    }
}

impl Body {
    pub const MAX_ATTACHMENTS: usize = 10;
    pub const MAX_METADATA_KEYS: usize = 32;
    /// Keys and values together.
    pub const MAX_METADATA_BYTES: usize = 4 * 1024;

    /// Holds the body to the contract's rules (§3). Whether anybody owns its type, and what that
    /// type asks of the content, is for the plugins.
    pub fn check(&self, limits: &BodyLimits) -> Result<(), InvalidField> {
        check_content(&self.content, limits)?;
        check_metadata(&self.metadata)?;
        if self.attachments.len() > Self::MAX_ATTACHMENTS {
            return Err(InvalidField::new("attachments", "may be at most 10"));
        }
        for (index, attachment) in self.attachments.iter().enumerate() {
            attachment.check(index, limits)?;
        }
        if self.attachments.is_empty() {
            self.check_without_attachment()?;
        }
        Ok(())
    }

    fn check_without_attachment(&self) -> Result<(), InvalidField> {
        if self.content_type.needs_attachment() {
            return Err(InvalidField::new(
                "attachments",
                format!("must hold at least one for contentType {}", self.content_type.as_str()),
            ));
        }
        if self.content.is_empty() {
            return Err(InvalidField::new("content", "may be empty only with an attachment"));
        }
        Ok(())
    }
}

fn check_content(content: &str, limits: &BodyLimits) -> Result<(), InvalidField> {
    if content.len() > limits.max_content_bytes {
        return Err(InvalidField::new(
            "content",
            format!("must be at most {} bytes of UTF-8", limits.max_content_bytes),
        ));
    }
    no_nul("content", content)
}

fn check_metadata(metadata: &Metadata) -> Result<(), InvalidField> {
    if metadata.len() > Body::MAX_METADATA_KEYS {
        return Err(InvalidField::new("metadata", "may have at most 32 keys"));
    }
    let bytes: usize = metadata.iter().map(|(key, value)| key.len() + value.len()).sum();
    if bytes > Body::MAX_METADATA_BYTES {
        return Err(InvalidField::new("metadata", "must be at most 4 KiB"));
    }
    for (key, value) in metadata {
        no_nul("metadata", key)?;
        no_nul(&format!("metadata.{key}"), value)?;
    }
    Ok(())
}

/// Postgres cannot store U+0000 in text.
fn no_nul(field: &str, text: &str) -> Result<(), InvalidField> {
    if text.contains('\0') {
        return Err(InvalidField::new(field, "must not contain U+0000"));
    }
    Ok(())
}

impl Attachment {
    pub const MAX_URL_BYTES: usize = 2048;
    pub const MAX_NAME_CHARS: usize = 255;

    fn check(&self, index: usize, limits: &BodyLimits) -> Result<(), InvalidField> {
        let field = |name: &str| format!("attachments[{index}].{name}");
        self.check_url(limits).map_err(|message| InvalidField::new(field("url"), message))?;
        if !is_media_type(&self.media_type) {
            return Err(InvalidField::new(
                field("type"),
                "must be a MIME type such as image/png, or a kind such as image",
            ));
        }
        if self.name.chars().count() > Self::MAX_NAME_CHARS {
            return Err(InvalidField::new(field("name"), "must be at most 255 characters"));
        }
        no_nul(&field("name"), &self.name)?;
        if i64::try_from(self.size).is_err() {
            return Err(InvalidField::new(field("size"), "is no number of bytes"));
        }
        Ok(())
    }

    fn check_url(&self, limits: &BodyLimits) -> Result<(), &'static str> {
        if self.url.len() > Self::MAX_URL_BYTES {
            return Err("must be at most 2048 bytes");
        }
        // The parser drops what browsers drop, so that `java\nscript:` cannot hide.
        let url = url::Url::parse(&self.url).map_err(|_| "must be an absolute URL")?;
        match url.scheme() {
            "https" => {}
            "http" if limits.http_attachments => {}
            _ => return Err("must be https"),
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("must not carry credentials");
        }
        if self.url.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return Err("must not contain spaces or control characters");
        }
        Ok(())
    }
}

fn is_media_type(text: &str) -> bool {
    let token = |part: &str| {
        !part.is_empty()
            && part.chars().all(|c| c.is_ascii_alphanumeric() || "!#$&^_.+-".contains(c))
    };
    let (essence, parameters) = text.split_once(';').unwrap_or((text, ""));
    text.len() <= 255
        && essence.trim().split('/').count() <= 2
        && essence.trim().split('/').all(token)
        && parameters.chars().all(|c| c.is_ascii_graphic() || c == ' ')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ContentType;

    const LIMITS: BodyLimits = BodyLimits { max_content_bytes: 16, http_attachments: false };

    fn text(content: &str) -> Body {
        Body {
            content: content.to_owned(),
            content_type: ContentType::Text,
            attachments: Vec::new(),
            metadata: Metadata::new(),
            preview: None,
        }
    }

    fn with_attachment(url: &str) -> Body {
        let attachment = Attachment {
            url: url.to_owned(),
            media_type: "image/png".to_owned(),
            name: "a.png".to_owned(),
            size: 1,
        };
        Body { attachments: vec![attachment], ..text("") }
    }

    #[test]
    fn content_is_bounded_in_bytes() {
        assert!(text("0123456789abcdef").check(&LIMITS).is_ok());
        assert!(text("0123456789abcde€").check(&LIMITS).is_err());
        assert!(text("a\0b").check(&LIMITS).is_err());
        assert!(text("").check(&LIMITS).is_err());
    }

    #[test]
    fn only_plain_https_addresses_are_taken() {
        assert!(with_attachment("https://cdn.example/a.png").check(&LIMITS).is_ok());
        for bad in [
            "http://cdn.example/a.png",
            "javascript:alert(1)",
            "java\nscript:alert(1)",
            "file:///etc/passwd",
            "https://user:secret@cdn.example/a",
            "data:text/html,x",
            "//cdn.example/a",
            "",
        ] {
            assert!(with_attachment(bad).check(&LIMITS).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_image_is_nothing_without_an_attachment() {
        let image = Body { content_type: ContentType::Image, ..text("look") };

        assert_eq!(image.check(&LIMITS).unwrap_err().field, "attachments");
    }

    #[test]
    fn metadata_is_bounded() {
        let mut body = text("hi");
        body.metadata = (0..33).map(|n| (n.to_string(), String::new())).collect();
        assert!(body.check(&LIMITS).is_err());

        body.metadata = [("k".to_owned(), "v".repeat(4096))].into();
        assert!(body.check(&LIMITS).is_err());
    }

    #[test]
    fn a_kind_or_a_mime_type_names_an_attachment() {
        for good in ["image", "image/png", "text/plain; charset=utf-8", "application/vnd.x+json"] {
            assert!(is_media_type(good), "{good}");
        }
        for bad in ["", "a/b/c", "/png", "image/", "a b", "a/\0"] {
            assert!(!is_media_type(bad), "{bad:?}");
        }
    }
}
