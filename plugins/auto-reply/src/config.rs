//! What an org sets.

#[derive(Debug, PartialEq, Eq)]
pub struct Config {
    /// In lower case.
    away: Vec<String>,
    message: String,
    pub every_seconds: u32,
}

impl Config {
    pub fn read(get: impl Fn(&str) -> Option<String>) -> Result<Self, String> {
        let get = |key: &str| get(key).filter(|value| !value.trim().is_empty());
        let away = get("for").ok_or("`for` is not set: name who is away, by e-mail")?;
        let away: Vec<String> = away.split(',').map(|email| email.trim().to_lowercase()).collect();
        if away.iter().any(|email| !email.contains('@')) {
            return Err("`for` must be e-mails, separated by commas".to_owned());
        }
        let hours = get("every-hours").map_or(Ok(12), |text| text.trim().parse());
        let hours: Option<u32> = hours.ok().filter(|hours| (1..=720).contains(hours));
        let hours = hours.ok_or("`every-hours` must be a whole number from 1 to 720")?;
        let message = get("message");
        Ok(Self {
            away,
            message: message.unwrap_or_else(|| "{name} is away and will answer later.".to_owned()),
            every_seconds: hours * 60 * 60,
        })
    }

    pub fn is_away(&self, email: &str) -> bool {
        self.away.contains(&email.to_lowercase())
    }

    /// What is said about somebody.
    pub fn message(&self, name: &str) -> String {
        self.message.replace("{name}", name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(entries: &[(&str, &str)]) -> Result<Config, String> {
        Config::read(|key| {
            let found = entries.iter().find(|(name, _)| *name == key);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn it_must_be_said_who_is_away() {
        let config = read(&[("for", "Bob@b.example, carol@c.example")]).unwrap();

        assert!(config.is_away("bob@B.example") && !config.is_away("alice@a.example"));
        assert_eq!(config.message("Bob"), "Bob is away and will answer later.");
        assert_eq!(config.every_seconds, 43_200);
        assert!(read(&[]).unwrap_err().contains("`for` is not set"));
    }

    #[test]
    fn what_cannot_be_meant_is_an_error() {
        for (key, value) in
            [("for", "bob"), ("for", "a@b, "), ("every-hours", "0"), ("every-hours", "1h")]
        {
            let mut entries = vec![(key, value)];
            if key != "for" {
                entries.push(("for", "a@b.example"));
            }
            assert!(read(&entries).unwrap_err().contains(&format!("`{key}`")), "{value}");
        }
    }
}
