use super::InvalidField;

/// What an org calls a plugin: 1 to 64 characters of `a-z 0-9 -`, starting with a letter.
pub fn parse_plugin_name(name: &str) -> Result<&str, InvalidField> {
    let valid = name.len() <= 64
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
    valid.then_some(name).ok_or_else(|| {
        InvalidField::new("name", "must be 1 to 64 characters of a-z 0-9 - and start with a letter")
    })
}
