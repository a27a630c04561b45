//! The words of the hook `validate-content`.

pub use crate::bindings::validate_content::exports::duologue::plugin::validate_content::{
    Accepted, ContentType, Validity, Violation,
};

impl ContentType {
    /// A type of the plugin's own, whose content is JSON that satisfies a schema.
    pub fn owned(name: impl Into<String>, schema: impl Into<String>) -> Self {
        Self { name: name.into(), schema: Some(schema.into()) }
    }

    /// A type that every server has, such as `text`.
    pub fn tightened(name: impl Into<String>) -> Self {
        Self { name: name.into(), schema: None }
    }
}

impl Validity {
    /// As it is.
    pub fn valid() -> Self {
        Self::Valid(Accepted { content: None, preview: None })
    }

    /// As it is, and what a list shows of it.
    pub fn preview(preview: impl Into<String>) -> Self {
        Self::Valid(Accepted { content: None, preview: Some(preview.into()) })
    }

    /// One thing is wrong; `path` is a JSON Pointer, empty for all of the content.
    pub fn wrong(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Invalid(vec![Violation { path: path.into(), message: message.into() }])
    }
}
