//! JSON Schemas that plugins bring for their content types. They are a stranger's, so what one
//! can cost is bounded before it is used: by its size, its patterns, and by what it comes to when
//! every reference is written out.

use jsonschema::{Draft, PatternOptions, Validator};
use serde_json::Value as Json;

use crate::domain::Violation;

/// A schema that has been checked and can be asked.
#[derive(Debug)]
pub(super) struct Schema(Validator);

/// Why a schema is not taken.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(super) enum SchemaError {
    #[error("it is larger than 64 KiB")]
    TooLarge,
    #[error("it is no JSON: {0}")]
    NoJson(String),
    #[error("it comes to more than {most} parts with every $ref written out", most = Schema::MAX_PARTS)]
    TooMuch,
    #[error("it has more than {most} patterns", most = Schema::MAX_PATTERNS)]
    TooManyPatterns,
    #[error("`$ref` may only point into the schema itself, as in \"#/$defs/name\": {0}")]
    ForeignRef(String),
    #[error("`$ref` {0} leads back to itself; write the levels out")]
    Recursive(String),
    #[error("`{0}` is not offered here")]
    NotOffered(String),
    #[error("it is no valid schema: {0}")]
    Invalid(String),
}

/// Keywords that could lead elsewhere, or look at the same content again and again.
const NOT_OFFERED: [&str; 8] = [
    "$id",
    "$anchor",
    "$dynamicRef",
    "$dynamicAnchor",
    "$recursiveRef",
    "$recursiveAnchor",
    "unevaluatedItems",
    "unevaluatedProperties",
];

impl Schema {
    pub(super) const MAX_BYTES: usize = 64 << 10;
    const MAX_PARTS: usize = 2_000;
    const MAX_PATTERNS: usize = 32;
    /// What one compiled pattern may take, which also bounds its time: that is as long as the
    /// content, times as much as this comes to.
    const MAX_PATTERN_BYTES: usize = 32 << 10;
    /// What its faster form may take in memory.
    const MAX_AUTOMATON_BYTES: usize = 1 << 20;

    pub(super) fn parse(text: &str) -> Result<Self, SchemaError> {
        if text.len() > Self::MAX_BYTES {
            return Err(SchemaError::TooLarge);
        }
        let schema: Json =
            serde_json::from_str(text).map_err(|error| SchemaError::NoJson(error.to_string()))?;
        Expansion { root: &schema, parts: 0, patterns: 0, open: Vec::new() }.walk(&schema)?;
        // Without look-around and back references, whose cost has no bound.
        let patterns = PatternOptions::regex()
            .size_limit(Self::MAX_PATTERN_BYTES)
            .dfa_size_limit(Self::MAX_AUTOMATON_BYTES);
        jsonschema::options()
            // Whatever its `$schema` says.
            .with_draft(Draft::Draft202012)
            .offline()
            .with_pattern_options(patterns)
            .build(&schema)
            .map(Self)
            .map_err(|error| SchemaError::Invalid(cut(&error.to_string())))
    }

    /// What is wrong with a content, at most [`Violation::MOST`].
    pub(super) fn violations(&self, content: &Json) -> Vec<Violation> {
        let errors = self.0.iter_errors(content).take(Violation::MOST);
        errors
            .map(|error| Violation {
                path: cut(error.instance_path().as_str()),
                message: cut(&error.to_string()),
            })
            .collect()
    }
}

fn cut(text: &str) -> String {
    text.chars().take(Violation::MAX_CHARS).collect()
}

/// Walks a schema as if every reference were written out.
struct Expansion<'s> {
    root: &'s Json,
    parts: usize,
    patterns: usize,
    /// The references that are being followed.
    open: Vec<&'s str>,
}

impl<'s> Expansion<'s> {
    fn walk(&mut self, part: &'s Json) -> Result<(), SchemaError> {
        self.parts += 1;
        if self.parts > Schema::MAX_PARTS {
            return Err(SchemaError::TooMuch);
        }
        match part {
            Json::Array(items) => items.iter().try_for_each(|item| self.walk(item)),
            Json::Object(keywords) => {
                for (keyword, value) in keywords {
                    self.keyword(keyword, value)?;
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn keyword(&mut self, keyword: &str, value: &'s Json) -> Result<(), SchemaError> {
        if NOT_OFFERED.contains(&keyword) {
            return Err(SchemaError::NotOffered(keyword.to_owned()));
        }
        self.patterns += match (keyword, value) {
            ("pattern", _) => 1,
            ("patternProperties", Json::Object(patterns)) => patterns.len(),
            _ => 0,
        };
        if self.patterns > Schema::MAX_PATTERNS {
            return Err(SchemaError::TooManyPatterns);
        }
        match (keyword, value) {
            ("$ref", Json::String(target)) => self.follow(target),
            _ => self.walk(value),
        }
    }

    fn follow(&mut self, target: &'s str) -> Result<(), SchemaError> {
        let foreign = || SchemaError::ForeignRef(cut(target));
        let pointer = target.strip_prefix('#').filter(|it| it.starts_with('/'));
        let pointer = pointer.filter(|it| !it.contains('%')).ok_or_else(foreign)?;
        if self.open.contains(&target) {
            return Err(SchemaError::Recursive(cut(target)));
        }
        let found = self.root.pointer(pointer).ok_or_else(foreign)?;
        self.open.push(target);
        self.walk(found)?;
        self.open.pop();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse(schema: &Json) -> Result<Schema, SchemaError> {
        Schema::parse(&schema.to_string())
    }

    fn poll() -> Json {
        json!({
            "type": "object",
            "required": ["question", "options"],
            "additionalProperties": false,
            "properties": {
                "question": { "type": "string", "maxLength": 20 },
                "options": { "type": "array", "minItems": 2, "items": { "$ref": "#/$defs/option" } }
            },
            "$defs": { "option": { "type": "string", "pattern": "^[a-z]+$" } }
        })
    }

    #[test]
    fn it_says_what_is_wrong_and_where() {
        let schema = parse(&poll()).unwrap();

        let good = json!({ "question": "when?", "options": ["now", "later"] });
        assert_eq!(schema.violations(&good), []);
        let bad = json!({ "question": "when?", "options": ["now", "Later"] });
        let violations = schema.violations(&bad);
        assert_eq!(violations.len(), 1);
        assert_eq!(violations[0].path, "/options/1");
    }

    #[test]
    fn it_tells_of_a_few_things_only() {
        let schema = parse(&json!({ "items": { "type": "string" } })).unwrap();

        assert_eq!(schema.violations(&json!(vec![1; 100])).len(), Violation::MOST);
    }

    #[test]
    fn nothing_leads_out_of_a_schema() {
        for target in ["https://example.com/s.json", "file:///etc/passwd", "other.json", "#", "#a"]
        {
            let error = parse(&json!({ "$ref": target })).unwrap_err();
            assert!(matches!(error, SchemaError::ForeignRef(_)), "{target}: {error}");
        }
        for keyword in NOT_OFFERED {
            let error = parse(&json!({ "properties": { "a": { keyword: "x" } } })).unwrap_err();
            assert_eq!(error, SchemaError::NotOffered(keyword.to_owned()));
        }
    }

    #[test]
    fn references_that_multiply_are_refused() {
        let mut definitions = serde_json::Map::new();
        for level in 0..30 {
            let next = json!({ "$ref": format!("#/$defs/d{}", level + 1) });
            definitions.insert(format!("d{level}"), json!({ "allOf": [next, next] }));
        }
        definitions.insert("d30".to_owned(), json!({ "type": "string" }));

        let doubling = json!({ "$ref": "#/$defs/d0", "$defs": definitions });
        assert_eq!(parse(&doubling).unwrap_err(), SchemaError::TooMuch);
        let circle =
            json!({ "$ref": "#/$defs/a", "$defs": { "a": { "items": { "$ref": "#/$defs/a" } } } });
        assert!(matches!(parse(&circle).unwrap_err(), SchemaError::Recursive(_)));
    }

    #[test]
    fn patterns_are_few_and_of_bounded_cost() {
        let pattern = |pattern: &str| parse(&json!({ "type": "string", "pattern": pattern }));

        for unbounded in [r"(a)\1", "(?=a)b", "(((a{100}){100}){100}){100}"] {
            assert!(
                matches!(pattern(unbounded).unwrap_err(), SchemaError::Invalid(_)),
                "{unbounded}"
            );
        }
        // A pattern that would take for ever where it backtracks.
        let schema = pattern("^(a+)+$").unwrap();
        assert_eq!(schema.violations(&json!(format!("{}b", "a".repeat(10_000)))).len(), 1);
        let many = json!({ "allOf": vec![json!({ "pattern": "a" }); 33] });
        assert_eq!(parse(&many).unwrap_err(), SchemaError::TooManyPatterns);
    }

    #[test]
    fn what_is_no_schema_is_refused() {
        assert_eq!(Schema::parse(&" ".repeat(70_000)).unwrap_err(), SchemaError::TooLarge);
        assert!(matches!(Schema::parse("{").unwrap_err(), SchemaError::NoJson(_)));
        assert!(matches!(parse(&json!({ "type": "poem" })).unwrap_err(), SchemaError::Invalid(_)));
    }
}
