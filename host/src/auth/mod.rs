//! From a credential to verified claims: the keys of an org, the tokens they sign, and the JWK
//! sets that hold some of the keys. The rules are the contract's §2.
//!
//! Keys come from the database alone. Nothing that a token carries (`jwk`, `jku`, `x5c`, `x5u`)
//! adds a key or an address to ask.

mod claims;
mod fetch;
mod jwks;
mod jws;
mod key_set;
mod mint;
mod new_key;
mod public_key;
mod secret;
#[cfg(test)]
mod tests;
mod verifier;

pub use claims::Claims;
// Also for requests of plugins.
pub use fetch::{ReadError, client, read_body};
pub use jwks::JwksSettings;
pub use jws::unverified_org;
pub use key_set::KeySet;
pub use mint::{MintClaims, mint};
pub use new_key::NewKey;
pub use secret::same_secret;
pub use verifier::{Verified, Verifier, VerifierSettings};
