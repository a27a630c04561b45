use std::{fmt, fs::File, io, io::Write, os::unix::fs::OpenOptionsExt, path::Path};

use base64::{Engine, engine::general_purpose::STANDARD};
use ring::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    error::Unspecified,
};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

const KEY_BYTES: usize = 32;

/// The server's key that secrets are sealed under.
pub(super) struct SealingKey {
    key: LessSafeKey,
    /// Says which key sealed a secret, and nothing about the key.
    id: String,
}

/// All keys of a server: the first one seals, the others open what was sealed under them before.
#[derive(Debug)]
pub(super) struct KeyRing(Vec<SealingKey>);

impl KeyRing {
    /// Keys stand apart by white space or a comma.
    pub(super) fn parse(text: &str) -> Result<Self, InvalidKey> {
        let apart = |c: char| c.is_whitespace() || c == ',';
        let keys = text.split(apart).filter(|key| !key.is_empty()).map(SealingKey::parse);
        let keys: Vec<_> = keys.collect::<Result<_, _>>()?;
        if keys.is_empty() { Err(InvalidKey) } else { Ok(Self(keys)) }
    }

    /// The one that seals.
    pub(super) fn current(&self) -> &SealingKey {
        &self.0[0]
    }

    pub(super) fn find(&self, id: &str) -> Option<&SealingKey> {
        self.0.iter().find(|key| key.id() == id)
    }
}

/// A sealed value.
pub(super) struct Sealed {
    pub(super) ciphertext: Vec<u8>,
    pub(super) nonce: Vec<u8>,
}

#[derive(Debug, thiserror::Error)]
#[error(
    "must be 32 bytes in base64, as `openssl rand -base64 32` prints them; former keys may follow"
)]
pub(super) struct InvalidKey;

impl SealingKey {
    pub(super) fn parse(text: &str) -> Result<Self, InvalidKey> {
        let bytes = Zeroizing::new(STANDARD.decode(text).map_err(|_| InvalidKey)?);
        if bytes.len() != KEY_BYTES {
            return Err(InvalidKey);
        }
        let key = UnboundKey::new(&AES_256_GCM, &bytes).map_err(|_| InvalidKey)?;
        let digest =
            Sha256::new().chain_update(b"duologue key id").chain_update(&*bytes).finalize();
        let id = STANDARD.encode(&digest[..12]);
        Ok(Self { key: LessSafeKey::new(key), id })
    }

    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// `context` must be the same when it is opened.
    pub(super) fn seal(&self, value: &str, context: &[u8]) -> io::Result<Sealed> {
        // At random: 2^32 secrets under one key would be needed for a repeat to become likely.
        let mut nonce = [0; NONCE_LEN];
        getrandom::fill(&mut nonce)?;
        let mut sealed = value.as_bytes().to_vec();
        self.key
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(context),
                &mut sealed,
            )
            .map_err(|Unspecified| io::Error::other("a value that long cannot be sealed"))?;
        Ok(Sealed { ciphertext: sealed, nonce: nonce.to_vec() })
    }

    /// `None`: sealed under another key or in another context, or altered since.
    pub(super) fn open(&self, sealed: Sealed, context: &[u8]) -> Option<Zeroizing<String>> {
        let nonce = Nonce::try_assume_unique_for_key(&sealed.nonce).ok()?;
        let mut bytes = Zeroizing::new(sealed.ciphertext);
        let value = self.key.open_in_place(nonce, Aad::from(context), &mut bytes).ok()?;
        Some(Zeroizing::new(std::str::from_utf8(value).ok()?.to_owned()))
    }
}

// By hand, so that no log can show the key.
impl fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealingKey").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Makes a file with a new key, readable for this user alone, unless there is one.
pub(super) fn make_key_file(path: &Path) -> io::Result<()> {
    if path.exists() {
        return Ok(());
    }
    let mut bytes = Zeroizing::new([0; KEY_BYTES]);
    getrandom::fill(&mut *bytes)?;
    // Beside it first, so that nobody ever finds half a key.
    let half = path.with_extension("new");
    let _ = std::fs::remove_file(&half);
    let mut file = File::options().create_new(true).write(true).mode(0o600).open(&half)?;
    let text = Zeroizing::new(STANDARD.encode(bytes.as_slice()));
    writeln!(file, "{}", *text)?;
    file.sync_all()?;
    let named = std::fs::hard_link(&half, path);
    std::fs::remove_file(&half)?;
    match named {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        named => named,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> SealingKey {
        SealingKey::parse(&STANDARD.encode([byte; KEY_BYTES])).unwrap()
    }

    #[test]
    fn a_value_opens_with_its_key_and_in_its_context_alone() {
        let seal = || key(1).seal("hush", b"acme/filter/token").unwrap();

        let opened = key(1).open(seal(), b"acme/filter/token");
        assert_eq!(opened.map(|value| value.to_string()).as_deref(), Some("hush"));
        assert!(key(2).open(seal(), b"acme/filter/token").is_none());
        assert!(key(1).open(seal(), b"globex/filter/token").is_none());
        let mut altered = seal();
        altered.ciphertext[0] ^= 1;
        assert!(key(1).open(altered, b"acme/filter/token").is_none());
    }

    #[test]
    fn a_value_sealed_twice_looks_different() {
        let [one, other] = [key(1).seal("hush", b"").unwrap(), key(1).seal("hush", b"").unwrap()];

        assert_ne!(one.ciphertext, other.ciphertext);
        assert_ne!(one.nonce, other.nonce);
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let good = STANDARD.encode([0; 32]);
        for bad in ["", "\n", "short", &STANDARD.encode([0; 31]), &STANDARD.encode([0; 33]), "!!"] {
            assert!(KeyRing::parse(bad).is_err(), "{bad}");
            assert!(bad.trim().is_empty() || KeyRing::parse(&format!("{good} {bad}")).is_err());
        }
        assert!(KeyRing::parse(&format!("{good}\n")).is_ok());
    }

    #[test]
    fn the_first_of_several_keys_seals_and_all_of_them_open() {
        let texts = [1, 2, 3].map(|byte| STANDARD.encode([byte; KEY_BYTES]));

        for between in ["\n", ",", ", ", "\r\n"] {
            let ring = KeyRing::parse(&texts.join(between)).unwrap();

            assert_eq!(ring.current().id(), key(1).id());
            assert_eq!(ring.find(key(3).id()).map(SealingKey::id), Some(key(3).id()));
            assert!(ring.find(key(4).id()).is_none());
        }
    }

    #[test]
    fn a_key_shows_its_id_alone() {
        let shown = format!("{:?}", key(1));

        assert!(shown.contains(key(1).id()));
        assert!(!shown.contains(&STANDARD.encode([1; KEY_BYTES])));
    }
}
