//! What stands in for the server in tests on your own machine, for each thread by itself.

use std::{cell::RefCell, collections::BTreeMap, mem};

use crate::{
    Draft, directory,
    history::Earlier,
    kv::{Entry, Error},
    messages, testing,
};

thread_local! {
    static SERVER: RefCell<Server> = const { RefCell::new(Server::new()) };
}

/// What [`testing`] has laid out, and what plugins made of it.
pub(crate) struct Server {
    pub(crate) entries: BTreeMap<String, Stored>,
    pub(crate) revision: u64,
    pub(crate) earlier: Vec<Earlier>,
    pub(crate) people: Vec<directory::Profile>,
    pub(crate) sent: Vec<Draft>,
}

/// A value, and when it goes.
pub(crate) struct Stored {
    entry: Entry,
    until_ms: Option<u64>,
}

impl Server {
    const fn new() -> Self {
        Self {
            entries: BTreeMap::new(),
            revision: 0,
            earlier: Vec::new(),
            people: Vec::new(),
            sent: Vec::new(),
        }
    }
}

pub(crate) fn with<T>(act: impl FnOnce(&mut Server) -> T) -> T {
    SERVER.with_borrow_mut(act)
}

pub(crate) fn reset() {
    with(|server| *server = Server::new());
}

pub(crate) fn take_sent() -> Vec<Draft> {
    with(|server| mem::take(&mut server.sent))
}

/// What [`testing::set_history`] has laid out.
pub fn previous() -> Vec<Earlier> {
    with(|server| server.earlier.clone())
}

/// One of those that [`testing::set_people`] has laid out.
///
/// # Errors
/// None here; on a server, where the database is away.
pub fn find(email: &str) -> Result<Option<directory::Profile>, directory::Error> {
    let is_meant = |person: &&directory::Profile| person.email.eq_ignore_ascii_case(email);
    Ok(with(|server| server.people.iter().find(is_meant).cloned()))
}

/// Keeps the draft for [`testing::take_sent`], and answers an id.
///
/// # Errors
/// After 5 messages, as in one call on a server; `take_sent` begins anew.
pub fn send(draft: &Draft) -> Result<String, messages::Error> {
    const A_CALL: usize = 5;
    with(|server| {
        if server.sent.len() == A_CALL {
            return Err(messages::Error::QuotaExceeded);
        }
        server.sent.push(draft.clone());
        Ok(format!("0198f000-0000-7000-8000-1000000000{:02}", server.sent.len()))
    })
}

/// As in the hooks where everything acts at once. A plugin may fill it without end.
pub mod kv {
    use super::{Entry, Error, Server, Stored, testing, with};

    const MAX_KEY_BYTES: usize = 256;
    const MAX_VALUE_BYTES: usize = 32 << 10;
    /// 365 days.
    const MAX_TTL_SECONDS: u32 = 31_536_000;

    /// What is stored under a key; none also where its time is over by the clock of
    /// [`testing::pass_time`].
    ///
    /// # Errors
    /// The key breaks a rule.
    pub fn get(key: &str) -> Result<Option<Entry>, Error> {
        check(key, None)?;
        Ok(with(|server| server.find(key).map(|stored| stored.entry.clone())))
    }

    /// Stores a value and answers its revision.
    ///
    /// # Errors
    /// As `kv.set` on a server; never for want of room.
    pub fn set(
        key: &str,
        value: &[u8],
        ttl_seconds: Option<u32>,
        expected: Option<u64>,
    ) -> Result<u64, Error> {
        check(key, ttl_seconds)?;
        if value.len() > MAX_VALUE_BYTES {
            return Err(Error::TooLarge);
        }
        with(|server| {
            let revision = server.find(key).map_or(0, |stored| stored.entry.revision);
            if expected.is_some_and(|expected| expected != revision) {
                return Err(Error::Conflict);
            }
            Ok(server.put(key, value.to_vec(), until(ttl_seconds)))
        })
    }

    /// Removes a key.
    ///
    /// # Errors
    /// The key breaks a rule.
    pub fn delete(key: &str) -> Result<(), Error> {
        check(key, None)?;
        with(|server| server.entries.remove(key));
        Ok(())
    }

    /// Adds to a number and answers the sum.
    ///
    /// # Errors
    /// As `kv.increment` on a server; never for want of room.
    pub fn increment(key: &str, delta: i64, ttl_seconds: Option<u32>) -> Result<i64, Error> {
        check(key, ttl_seconds)?;
        with(|server| {
            let (before, until_ms) = match server.find(key) {
                None => (0, until(ttl_seconds)),
                Some(stored) => {
                    let text = str::from_utf8(&stored.entry.value).ok();
                    let number = text.and_then(|text| text.parse::<i64>().ok());
                    (number.ok_or(Error::NotANumber)?, stored.until_ms)
                }
            };
            let sum = before.checked_add(delta).ok_or(Error::NotANumber)?;
            server.put(key, sum.to_string().into_bytes(), until_ms);
            Ok(sum)
        })
    }

    impl Server {
        fn find(&self, key: &str) -> Option<&Stored> {
            let now_ms = testing::now_ms();
            let is_there = |stored: &&Stored| stored.until_ms.is_none_or(|until| until > now_ms);
            self.entries.get(key).filter(is_there)
        }

        fn put(&mut self, key: &str, value: Vec<u8>, until_ms: Option<u64>) -> u64 {
            self.revision += 1;
            let entry = Entry { value, revision: self.revision };
            self.entries.insert(key.to_owned(), Stored { entry, until_ms });
            self.revision
        }
    }

    fn until(ttl_seconds: Option<u32>) -> Option<u64> {
        ttl_seconds.map(|seconds| testing::now_ms() + u64::from(seconds) * 1000)
    }

    fn check(key: &str, ttl_seconds: Option<u32>) -> Result<(), Error> {
        if !(1..=MAX_KEY_BYTES).contains(&key.len()) || key.contains('\0') {
            return Err(Error::Invalid("a key has 1 to 256 bytes and no U+0000".to_owned()));
        }
        if ttl_seconds.is_some_and(|ttl| !(1..=MAX_TTL_SECONDS).contains(&ttl)) {
            return Err(Error::Invalid("a TTL is from 1 s to 365 days".to_owned()));
        }
        Ok(())
    }
}

/// What would reach out of the plugin.
pub mod absent {
    use crate::{http, secrets};

    /// There is none in `cargo test`.
    ///
    /// # Errors
    /// Never: it panics.
    ///
    /// # Panics
    /// Always, with a sentence that says what to do.
    pub fn open(name: &str) -> Result<secrets::Secret, secrets::Error> {
        panic!(
            "the secret `{name}` is not there in cargo test; use `duologue plugin test`, whose \
             fixtures lay it out (`laidOut.secrets`)"
        );
    }

    /// There is no network in `cargo test`.
    ///
    /// # Errors
    /// Never: it panics.
    ///
    /// # Panics
    /// Always, with a sentence that says what to do.
    pub fn send(request: &http::Request<'_>) -> Result<http::Response, http::Error> {
        panic!(
            "no answer of {} is there in cargo test; use `duologue plugin test`, whose fixtures \
             lay it out (`laidOut.http`)",
            request.url,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{kv, secrets};

    fn text(key: &str) -> Option<String> {
        kv::get(key).unwrap().map(|entry| String::from_utf8(entry.value).unwrap())
    }

    #[test]
    fn what_is_set_is_there_until_it_is_deleted() {
        assert_eq!(text("k"), None);
        kv::set("k", b"v", None, None).unwrap();
        assert_eq!(text("k").as_deref(), Some("v"));
        kv::delete("k").unwrap();
        kv::delete("k").unwrap();
        assert_eq!(text("k"), None);
    }

    #[test]
    fn a_key_that_has_changed_meanwhile_is_a_conflict() {
        let first = kv::set("k", b"1", None, Some(0)).unwrap();
        let second = kv::set("k", b"2", None, Some(first)).unwrap();

        assert_eq!(kv::set("k", b"3", None, Some(first)), Err(Error::Conflict));
        assert_eq!(kv::set("k", b"3", None, Some(0)), Err(Error::Conflict));
        assert_eq!(kv::get("k").unwrap().unwrap().revision, second);
        // A revision is never used twice.
        kv::delete("k").unwrap();
        assert!(kv::set("k", b"1", None, Some(0)).unwrap() > second);
    }

    #[test]
    fn a_counter_keeps_the_end_that_it_began_with() {
        assert_eq!(kv::increment("n", 2, Some(60)), Ok(2));
        testing::pass_time(59_000);
        assert_eq!(kv::increment("n", 3, Some(60)), Ok(5));
        assert_eq!(text("n").as_deref(), Some("5"));
        testing::pass_time(1000);
        assert_eq!(text("n"), None);
        assert_eq!(kv::increment("n", 1, None), Ok(1));

        kv::set("n", b"one", None, None).unwrap();
        assert_eq!(kv::increment("n", 1, None), Err(Error::NotANumber));
    }

    #[test]
    fn what_a_server_would_not_take_is_refused() {
        assert!(matches!(kv::get(""), Err(Error::Invalid(_))));
        assert!(matches!(kv::set("k", b"", Some(0), None), Err(Error::Invalid(_))));
        assert_eq!(kv::set("k", &[0; (32 << 10) + 1], None, None), Err(Error::TooLarge));
        assert_eq!(kv::increment("k", i64::MAX, None), Ok(i64::MAX));
        assert_eq!(kv::increment("k", 1, None), Err(Error::NotANumber));
    }

    #[test]
    fn what_is_laid_out_is_found_and_what_is_sent_is_kept() {
        testing::set_people([testing::profile("Bob@example.com")]);
        testing::set_history([testing::earlier(true, "hi")]);

        assert_eq!(directory::find("bob@EXAMPLE.com").unwrap().unwrap().email, "Bob@example.com");
        assert_eq!(directory::find("carol@example.com"), Ok(None));
        assert_eq!(crate::history::previous(), [testing::earlier(true, "hi")]);
        for _ in 0..5 {
            messages::send(&testing::draft("away")).unwrap();
        }
        assert_eq!(messages::send(&testing::draft("more")), Err(messages::Error::QuotaExceeded));
        assert_eq!(testing::take_sent().len(), 5);

        testing::reset();
        assert_eq!(crate::history::previous(), []);
    }

    #[test]
    #[should_panic(expected = "use `duologue plugin test`, whose fixtures lay it out")]
    fn a_secret_says_where_it_can_be_had() {
        let _ = secrets::open("token");
    }

    #[test]
    #[should_panic(expected = "no answer of https://api.example.com is there in cargo test")]
    fn a_request_says_where_it_is_answered() {
        let _ = crate::http::send(&crate::http::Request {
            method: crate::http::Method::Get,
            url: "https://api.example.com".to_owned(),
            headers: Vec::new(),
            body: Vec::new(),
            timeout_ms: None,
        });
    }
}
