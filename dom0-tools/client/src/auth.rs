//! The token of a run, and the proof of knowing it.
//!
//! Each end sends 32 bytes that were never used before, and answers with a keyed hash (HMAC with
//! SHA-256) of both under the token. Which end speaks is part of the hash, so that one end's proof is
//! worth nothing as the other's. Only the holder of the token can make either.
//!
//! What follows a handshake is neither encrypted nor signed: the line is the loopback of one host.

use core::fmt;
use sha2::{Digest, Sha256};

/// Bytes of a token, a nonce and a proof.
pub const LEN: usize = 32;
/// Bytes that are used once.
pub type Nonce = [u8; LEN];
/// A keyed hash.
pub type Proof = [u8; LEN];

/// Bytes of SHA-256's blocks.
const BLOCK: usize = 64;

/// The secret of one run. It shows nothing of itself when printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Token([u8; LEN]);

impl Token {
    /// A token of these bytes, which nobody may be able to guess.
    #[must_use]
    pub const fn new(bytes: [u8; LEN]) -> Self {
        Self(bytes)
    }

    /// Reads 64 hexadecimal digits; blanks around them do not count.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.trim().as_bytes();
        let mut bytes = [0; LEN];
        if digits.len() != 2 * LEN {
            return None;
        }
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let [high, low] = pair else { return None };
            *byte = digit(*high)? << 4 | digit(*low)?;
        }
        Some(Self(bytes))
    }

    /// The 64 digits, for the file that both ends read.
    pub fn digits(&self) -> impl fmt::Display + '_ {
        Digits(&self.0)
    }

    /// Bytes that nobody without the token can foresee, another for each `salt`.
    #[must_use]
    pub fn nonce(&self, salt: &[u8]) -> Nonce {
        hmac(&self.0, &[b"zl nonce", salt])
    }

    pub(crate) fn prove(&self, end: End, client: &Nonce, server: &Nonce) -> Proof {
        hmac(&self.0, &[end.label(), &crate::VERSION.to_le_bytes(), client, server])
    }

    pub(crate) fn check(&self, end: End, client: &Nonce, server: &Nonce, proof: &Proof) -> bool {
        same(&self.prove(end, client, server), proof)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

struct Digits<'a>(&'a [u8; LEN]);

impl fmt::Display for Digits<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

fn digit(character: u8) -> Option<u8> {
    char::from(character).to_digit(16).map(|digit| digit as u8)
}

/// The two ends of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// `zl` on the host.
    Client,
    /// The control domain.
    Server,
}

impl End {
    const fn label(self) -> &'static [u8] {
        match self {
            Self::Client => b"zl proof of the client",
            Self::Server => b"zl proof of the server",
        }
    }
}

/// HMAC-SHA-256 (RFC 2104) of the parts, one behind the other.
fn hmac(key: &[u8; LEN], parts: &[&[u8]]) -> Proof {
    let pad = |with: u8| {
        let mut block = [with; BLOCK];
        block.iter_mut().zip(key).for_each(|(pad, key)| *pad ^= key);
        block
    };
    let mut inner = Sha256::new();
    inner.update(pad(0x36));
    parts.iter().for_each(|part| inner.update(part));
    let mut outer = Sha256::new();
    outer.update(pad(0x5c));
    outer.update(inner.finalize());
    outer.finalize().into()
}

/// Compares without telling by its time where the first difference is.
fn same(a: &Proof, b: &Proof) -> bool {
    let difference = a.iter().zip(b).fold(0, |difference, (a, b)| difference | (a ^ b));
    core::hint::black_box(difference) == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use alloc::string::ToString;
    use proptest::prelude::*;

    #[test]
    fn the_keyed_hash_is_the_one_of_the_standard() {
        // RFC 4231, test case 1: its key is 20 bytes, which zeros make longer without changing it.
        let mut key = [0; LEN];
        key[..20].fill(0x0b);
        let digits = Digits(&hmac(&key, &[b"Hi ", b"There"])).to_string();
        assert_eq!(digits, "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
    }

    #[test]
    fn a_token_is_read_as_it_is_written_and_hides_itself() {
        let token = Token::new(core::array::from_fn(|at| at as u8 * 7));
        let digits = token.digits().to_string();
        assert_eq!(Token::parse(&format!(" {digits}\n")), Some(token.clone()));
        assert_eq!(format!("{token:?}"), "Token(..)");
        assert_eq!(Token::parse(""), None);
        assert_eq!(Token::parse(&digits[1..]), None);
        assert_eq!(Token::parse(&digits.replace('0', "g")), None);
    }

    proptest! {
        #[test]
        fn a_proof_holds_for_its_token_nonces_and_end_only(
            token: [u8; LEN], client: Nonce, server: Nonce, at in 0usize..LEN, bit in 0u8..8,
        ) {
            let flip = |bytes: &[u8; LEN]| {
                let mut bytes = *bytes;
                bytes[at] ^= 1 << bit;
                bytes
            };
            let good = Token::new(token);
            let proof = good.prove(End::Client, &client, &server);
            prop_assert!(good.check(End::Client, &client, &server, &proof));
            prop_assert!(!good.check(End::Server, &client, &server, &proof));
            prop_assert!(!good.check(End::Client, &flip(&client), &server, &proof));
            prop_assert!(!good.check(End::Client, &client, &flip(&server), &proof));
            prop_assert!(!good.check(End::Client, &client, &server, &flip(&proof)));
            prop_assert!(!Token::new(flip(&token)).check(End::Client, &client, &server, &proof));
        }

        #[test]
        fn no_text_panics_as_a_token(text in any::<std::string::String>()) {
            let _ = Token::parse(&text);
        }
    }
}
