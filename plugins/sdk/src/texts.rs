//! The texts of a message that its recipient may read.

use crate::{Body, Patch};

impl Body {
    /// The content, the names of the attachments and the values of the metadata, each with the
    /// name of its field as clients know it.
    pub fn texts(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let names = self.attachments.iter().map(|file| ("attachments", file.name.as_str()));
        let values = self.metadata.iter().map(|(_, value)| ("metadata", value.as_str()));
        [("content", self.content.as_str())].into_iter().chain(names).chain(values)
    }
}

impl Patch {
    /// Replaces each of these texts by what `rewrite` makes of it, where that is something; none
    /// where it changes nothing.
    ///
    /// ```
    /// use duologue_plugin::{Patch, testing};
    ///
    /// let body = testing::draft("tea or coffee").body;
    /// let milder = |text: &str| text.contains("coffee").then(|| text.replace("coffee", "water"));
    ///
    /// assert_eq!(Patch::rewriting(&body, milder), Some(Patch::content("tea or water")));
    /// assert_eq!(Patch::rewriting(&testing::draft("tea").body, milder), None);
    /// ```
    pub fn rewriting(body: &Body, mut rewrite: impl FnMut(&str) -> Option<String>) -> Option<Self> {
        let content = rewrite(&body.content);
        let mut attachments = body.attachments.clone();
        let mut renamed = false;
        for file in &mut attachments {
            if let Some(name) = rewrite(&file.name) {
                file.name = name;
                renamed = true;
            }
        }
        let metadata = body.metadata.iter();
        let metadata: Vec<_> = metadata
            .filter_map(|(key, value)| Some((key.clone(), Some(rewrite(value)?))))
            .collect();
        let changed = content.is_some() || renamed || !metadata.is_empty();
        changed.then(|| Self { content, attachments: renamed.then_some(attachments), metadata })
    }
}

#[cfg(test)]
mod tests {
    use crate::{Attachment, Patch, testing};

    #[test]
    fn names_of_files_and_values_are_rewritten_too() {
        let file = |name: &str| Attachment {
            url: "https://files.example/1".to_owned(),
            media_type: "text/plain".to_owned(),
            name: name.to_owned(),
            size: 1,
        };
        let mut body = testing::draft("a").body;
        body.attachments = vec![file("a"), file("b")];
        body.metadata = vec![("a".to_owned(), "b".to_owned()), ("k".to_owned(), "a".to_owned())];

        let patch = Patch::rewriting(&body, |text| (text == "a").then(|| "*".to_owned()));

        let expected = Patch {
            content: Some("*".to_owned()),
            attachments: Some(vec![file("*"), file("b")]),
            metadata: vec![("k".to_owned(), Some("*".to_owned()))],
        };
        assert_eq!(patch, Some(expected));
        assert_eq!(body.texts().filter(|(_, text)| *text == "a").count(), 3);
    }
}
