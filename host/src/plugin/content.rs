//! The content types that a version judges, as it said when it was uploaded.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::{
    bindings::validate_content,
    schema::{Schema, SchemaError},
};
use crate::domain::ContentType;

/// A content type as the report of a version names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeclaredType {
    pub name: String,
    /// The text of a JSON Schema; only of a type that the plugin owns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<String>,
}

/// The types that a version judges, with their schemas ready to be asked. A clone is the same.
#[derive(Clone, Debug, Default)]
pub struct ContentTypes(Arc<[(ContentType, Rule)]>);

/// What the server itself holds the content of a type to, before the plugin is asked.
#[derive(Clone, Debug)]
pub(super) enum Rule {
    /// The plugin tightens a type that every server has.
    Tightened,
    /// The plugin owns the type: its content is JSON.
    Json,
    /// And it is held to this.
    Schema(Arc<Schema>),
    /// This server cannot read the schema that it once accepted.
    Unreadable,
}

const MAX_TYPES: usize = 16;
/// Of all schemas of a version together: lists of plugins show them.
const MAX_SCHEMA_BYTES: usize = 256 << 10;

impl DeclaredType {
    /// What a guest says of its types, held to the rules of `wit/`; or what is wrong with it.
    pub(super) fn parse_all(said: Vec<validate_content::ContentType>) -> Result<Vec<Self>, String> {
        if !(1..=MAX_TYPES).contains(&said.len()) {
            return Err(format!("it names {} types; 1 to {MAX_TYPES} are right", said.len()));
        }
        let mut declared: Vec<Self> = Vec::with_capacity(said.len());
        let mut bytes = 0;
        for validate_content::ContentType { name, schema } in said {
            bytes += schema.as_ref().map_or(0, String::len);
            // Whatever cannot be used is refused now.
            rule(&name, schema.as_deref())?;
            if declared.iter().any(|other| other.name == name) {
                return Err(format!("it names {name} twice"));
            }
            if bytes > MAX_SCHEMA_BYTES {
                return Err("its schemas have more than 256 KiB together".to_owned());
            }
            declared.push(Self { name, schema });
        }
        Ok(declared)
    }

    /// Those of the report of a version; none where it does not take part in `validate-content`.
    pub fn read_all(report: &Json) -> Vec<Self> {
        Vec::deserialize(&report["contentTypes"]).unwrap_or_default()
    }

    pub fn is_owned(&self) -> bool {
        is_namespaced(&self.name)
    }
}

impl ContentTypes {
    /// Takes a moment where there are schemas: not for a task that others wait for.
    pub fn new(declared: &[DeclaredType]) -> Self {
        let types = declared.iter().filter_map(|DeclaredType { name, schema }| {
            let content_type = ContentType::parse(name).ok()?;
            Some((content_type, rule(name, schema.as_deref()).unwrap_or(Rule::Unreadable)))
        });
        Self(types.collect())
    }

    /// `None`: the version has no say about that type.
    pub(super) fn find(&self, content_type: &ContentType) -> Option<&Rule> {
        self.0.iter().find(|(known, _)| known == content_type).map(|(_, rule)| rule)
    }
}

impl Rule {
    /// Whether the plugin owns the type.
    pub(super) fn is_owners(&self) -> bool {
        !matches!(self, Self::Tightened)
    }
}

fn is_namespaced(name: &str) -> bool {
    matches!(ContentType::parse(name), Ok(ContentType::Namespaced(_)))
}

fn rule(name: &str, schema: Option<&str>) -> Result<Rule, String> {
    let shown: String = name.chars().take(64).collect();
    ContentType::parse(name).map_err(|_| {
        format!(
            "{shown:?} is no content type: take text, image, file, audio or a namespaced name \
             such as acme.poll, of at most 64 characters a-z 0-9 - _"
        )
    })?;
    match schema {
        Some(_) if !is_namespaced(name) => {
            Err(format!("{name} is every server's; a schema is for types of the plugin's own"))
        }
        Some(schema) => Schema::parse(schema)
            .map(|schema| Rule::Schema(Arc::new(schema)))
            .map_err(|error: SchemaError| format!("the schema of {name} cannot be used: {error}")),
        None if is_namespaced(name) => Ok(Rule::Json),
        None => Ok(Rule::Tightened),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(types: &[(&str, Option<&str>)]) -> Result<Vec<DeclaredType>, String> {
        let said = types.iter().map(|(name, schema)| validate_content::ContentType {
            name: (*name).to_owned(),
            schema: schema.map(str::to_owned),
        });
        DeclaredType::parse_all(said.collect())
    }

    #[test]
    fn types_are_named_once_and_by_the_contract() {
        let both = parse(&[("acme.poll", Some("{}")), ("text", None)]).unwrap();

        assert_eq!(both.iter().map(DeclaredType::is_owned).collect::<Vec<_>>(), [true, false]);
        for bad in [
            &[][..],
            &[("text", None), ("text", None)],
            &[("Acme.poll", None)],
            &[("poll", None)],
            &[("", None)],
            &[("acme.poll", None); 2],
        ] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
        let names: Vec<String> = (0..17).map(|n| format!("acme.t{n}")).collect();
        let many: Vec<_> = names.iter().map(|name| (name.as_str(), None)).collect();
        assert!(parse(&many).is_err());
        assert!(parse(&many[1..]).is_ok());
    }

    #[test]
    fn a_schema_is_for_a_type_of_ones_own_and_can_be_used() {
        let error = |name, schema| parse(&[(name, Some(schema))]).unwrap_err();

        assert!(error("text", "{}").contains("every server's"));
        assert!(error("acme.poll", "{").contains("no JSON"));
        assert!(error("acme.poll", r#"{"pattern": "(a)\\1"}"#).contains("no valid schema"));
        let large = format!("{{\"description\": \"{}\"}}", "x".repeat(60_000));
        let names = ["a.a", "a.b", "a.c", "a.d", "a.e"];
        let five = names.map(|name| (name, Some(large.as_str())));
        assert!(parse(&five).unwrap_err().contains("256 KiB"));
        assert!(parse(&five[1..]).is_ok());
    }

    #[test]
    fn a_schema_that_cannot_be_read_any_more_leaves_the_type_owned() {
        let schema = Some("{".to_owned());
        let types = ContentTypes::new(&[DeclaredType { name: "acme.poll".to_owned(), schema }]);

        let found = types.find(&ContentType::Namespaced("acme.poll".to_owned()));
        assert!(matches!(found, Some(Rule::Unreadable)));
        assert!(types.find(&ContentType::Text).is_none());
    }
}
