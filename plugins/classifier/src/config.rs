//! What an org sets.

/// Scores from which on something is done; none: never.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Thresholds {
    pub label: Option<f32>,
    pub hold: Option<f32>,
    pub reject: Option<f32>,
}

#[derive(Debug)]
pub struct Config {
    pub url: String,
    /// The name of the secret that the classifier wants.
    pub secret: Option<String>,
    pub thresholds: Thresholds,
    pub timeout_ms: u32,
    /// What the sender of a refused message is told.
    pub message: String,
}

impl Config {
    /// Reads the configuration key by key. What cannot be meant is an error: to guess would let
    /// messages through that the org wants looked at.
    pub fn read(get: impl Fn(&str) -> Option<String>) -> Result<Self, String> {
        let get = |key: &str| {
            let value = get(key).map(|value| value.trim().to_owned());
            value.filter(|value| !value.is_empty())
        };
        let url = get("url").ok_or("`url` is not set: name the classifier's https address")?;
        let host = url.strip_prefix("https://").filter(|rest| !rest.starts_with('/'));
        if host.is_none_or(str::is_empty) || url.contains(char::is_whitespace) {
            return Err("`url` must be such as https://api.example.com/classify".to_owned());
        }
        let timeout_ms = get("timeout-ms").map_or(Ok(1000), |text| text.parse());
        let timeout_ms = timeout_ms.ok().filter(|ms| *ms > 0);
        Ok(Self {
            url,
            secret: Some(get("secret").unwrap_or_else(|| "classifier".to_owned()))
                .filter(|name| name != "none"),
            thresholds: Thresholds::read(get)?,
            timeout_ms: timeout_ms.ok_or("`timeout-ms` must be a whole number from 1 on")?,
            message: get("message").unwrap_or_else(|| "Please say it in another way.".to_owned()),
        })
    }
}

impl Thresholds {
    fn read(get: impl Fn(&str) -> Option<String>) -> Result<Self, String> {
        let read = |key: &str, default: Option<f32>| match get(key).as_deref() {
            None => Ok(default),
            Some("never") => Ok(None),
            Some(text) => {
                let score = text.parse().ok().filter(|score| (0.0..=1.0).contains(score));
                score.map(Some).ok_or(format!("`{key}` must be from 0 to 1, or never"))
            }
        };
        let thresholds = Self {
            label: read("label-at", Some(0.5))?,
            hold: read("hold-at", Some(0.8))?,
            reject: read("reject-at", None)?,
        };
        let set = [thresholds.label, thresholds.hold, thresholds.reject];
        let set: Vec<f32> = set.into_iter().flatten().collect();
        if set.is_empty() {
            return Err("`label-at`, `hold-at` and `reject-at` are all never: set one".to_owned());
        }
        if !set.is_sorted() {
            return Err("`label-at`, `hold-at` and `reject-at` must rise in this order".to_owned());
        }
        Ok(thresholds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(entries: &[(&str, &str)]) -> Result<Config, String> {
        Config::read(|key| {
            let mut all = entries.iter().chain(&[("url", "https://api.test/")]);
            all.find(|(name, _)| *name == key).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn only_the_url_is_required() {
        let config = read(&[]).unwrap();

        let expected = Thresholds { label: Some(0.5), hold: Some(0.8), reject: None };
        assert_eq!(config.thresholds, expected);
        assert_eq!((config.secret.as_deref(), config.timeout_ms), (Some("classifier"), 1000));
        assert_eq!(read(&[("secret", "none")]).unwrap().secret, None);
        assert!(Config::read(|_| None).unwrap_err().contains("`url` is not set"));
    }

    #[test]
    fn what_cannot_be_meant_is_an_error() {
        for (key, value) in [
            ("url", "http://api.test/"),
            ("url", "https:///x"),
            ("url", "https://a b"),
            ("timeout-ms", "0"),
            ("timeout-ms", "1s"),
            ("hold-at", "80"),
            ("hold-at", "NaN"),
            ("hold-at", "0.4"),
        ] {
            let refused = read(&[(key, value)]).unwrap_err();
            assert!(refused.contains(&format!("`{key}`")), "{value}: {refused}");
        }
        assert!(read(&[("label-at", "never"), ("hold-at", "never")]).is_err());
        assert!(read(&[("label-at", "never"), ("hold-at", "0.1")]).is_ok());
    }
}
