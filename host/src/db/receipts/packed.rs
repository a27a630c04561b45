//! The texts of receipts as they are stored: compressed beside what nearly all of them say, for
//! there is one receipt for each message that plugins are asked about.

use lz4_flex::block::{
    compress_prepend_size_with_dict, decompress_size_prepended_with_dict, uncompressed_size,
};
use serde::Serialize;

use super::DbError;
use crate::domain::CallRecord;

/// A JSON text, as it is or as the number of a dictionary and what LZ4 makes of the text with it.
#[derive(Clone, Debug)]
pub struct Packed(Vec<u8>);

/// What a text is compressed with: one of its kind. Rows are read with what they were written
/// with, so a dictionary is never changed; a better one gets the next number.
struct Dictionary {
    number: u8,
    text: &'static [u8],
}

const CALLS: Dictionary = Dictionary { number: 1, text: include_bytes!("calls-1.json") };
const CONTENTS: Dictionary = Dictionary { number: 2, text: include_bytes!("contents-1.json") };
const ALL: [Dictionary; 2] = [CALLS, CONTENTS];

impl Packed {
    /// LZ4 makes no more than so many bytes of one.
    const MOST_TIMES: usize = 255;

    pub fn calls(calls: &[CallRecord]) -> Self {
        Self::new(calls, &CALLS)
    }

    /// `contents`: of each call a [`crate::domain::RunContent`], or its text.
    pub fn contents(contents: &[impl Serialize]) -> Self {
        Self::new(contents, &CONTENTS)
    }

    fn new(form: &(impl Serialize + ?Sized), dictionary: &Dictionary) -> Self {
        let mut text = Vec::with_capacity(1024);
        serde_json::to_writer(&mut text, form).expect("words and numbers have a JSON form");
        let compressed = compress_prepend_size_with_dict(&text, dictionary.text);
        let mut packed = Vec::with_capacity(1 + compressed.len());
        packed.push(dictionary.number);
        packed.extend(compressed);
        Self(packed)
    }

    /// How many bytes are stored.
    pub fn stored_len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The text that was stored.
    pub(super) fn unpack(stored: Vec<u8>) -> Result<Vec<u8>, DbError> {
        let Some((number, packed)) = stored.split_first() else { return Ok(stored) };
        // Of before anything was compressed: a list.
        if *number == b'[' {
            return Ok(stored);
        }
        let Some(dictionary) = ALL.iter().find(|dictionary| dictionary.number == *number) else {
            let error = format!("a receipt is damaged, or a newer server's: dictionary {number}");
            return Err(DbError::Decode(error.into()));
        };
        let (len, _) = uncompressed_size(packed).map_err(|error| DbError::Decode(error.into()))?;
        if len > packed.len() * Self::MOST_TIMES {
            return Err(DbError::Decode(
                "a receipt is damaged: it says that it is too long".into(),
            ));
        }
        decompress_size_prepended_with_dict(packed, dictionary.text)
            .map_err(|error| DbError::Decode(error.into()))
    }
}

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};

    use super::*;
    use crate::domain::hex;

    #[test]
    fn a_text_comes_back_as_it_was_and_is_smaller_meanwhile() {
        let input = serde_json::json!({ "previous": null, "replyTo": null, "to": "bob@acme.test" });
        let answer = serde_json::json!({ "explanation": null, "labels": [], "verdict": "pass" });
        let contents = [serde_json::json!({ "input": input, "hostCalls": [], "answer": answer })];
        let text = serde_json::to_vec(&contents).unwrap();

        let packed = Packed::contents(&contents);

        assert!(packed.stored_len() < text.len() / 2, "{}", packed.stored_len());
        assert_eq!(Packed::unpack(packed.0).unwrap(), text);
    }

    #[test]
    fn what_was_stored_as_it_is_is_read_as_it_is() {
        assert_eq!(Packed::unpack(b"[]".to_vec()).unwrap(), b"[]");
    }

    #[test]
    fn what_is_damaged_is_an_error() {
        let mut cut_off = Packed::calls(&[]).0;
        cut_off.truncate(4);
        let mut too_long = Packed::calls(&[]).0;
        too_long[1..5].copy_from_slice(&u32::MAX.to_le_bytes());

        for damaged in [cut_off, too_long, b"\x03[]".to_vec()] {
            assert!(Packed::unpack(damaged).is_err());
        }
    }

    /// Stored receipts could not be read any more.
    #[test]
    fn dictionaries_are_what_they_were() {
        let hashes = ALL.map(|dictionary| hex(&Sha256::digest(dictionary.text)));

        assert_eq!(
            hashes,
            [
                "8f4f6fb4562e3dd93b9f893094dfeb33c66f1334bc32dca2b9ec2297b9d7cd66",
                "c864d4a1a67eacabb3035cf4605177b2392c19cc7225eb85055c8731cfb0de0d"
            ]
        );
    }
}
