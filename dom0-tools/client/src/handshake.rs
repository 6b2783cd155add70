//! How two ends get to know each other.
//!
//! ```text
//! host                            control domain
//!   Hello    version, nonce  ->
//!                            <-   Challenge   version, nonce
//!   proof                    ->
//!                            <-   Welcome  proof       (or Refused)
//! ```
//!
//! [`Server`] is the gate in front of a session: until the proof has come and holds, all it hands out
//! is a challenge and a refusal. [`Client`] does not send a request before the other end has proven
//! itself too, so a stranger that took over the port learns nothing.
//!
//! The form of `Hello` and of a refusal must never change: ends of different versions meet there.

use crate::auth::{End, Nonce, Proof, Token};
use crate::frame::{decode, LONGEST, LONGEST_GREETING};
use crate::{encode, Frames, VERSION};
use alloc::vec::Vec;
use core::fmt;
use serde::{Deserialize, Serialize};

/// What both ends begin with.
const MAGIC: [u8; 4] = *b"zldp";

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Hello {
    magic: [u8; 4],
    version: u16,
    nonce: Nonce,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Answer {
    Refused(Refusal),
    Challenge(Hello),
    Welcome(Proof),
}

/// Why a connection is not wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Refusal {
    /// The control domain speaks this version.
    Version(u16),
    /// The proof does not hold.
    Token,
    /// There are too many connections.
    Busy,
    /// The proof did not come in time.
    Late,
    /// This is not the protocol at all.
    Nonsense,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version(theirs) => write!(
                f,
                "dom0 speaks version {theirs} of the protocol and this zl version {VERSION}; \
                 build both from the same tree"
            ),
            Self::Token => f.write_str(
                "dom0 does not accept the token; the run file belongs to another run, \
                 see 'zl --run FILE'",
            ),
            Self::Busy => f.write_str("dom0 has too many connections; end a 'zl' elsewhere"),
            Self::Late => f.write_str("dom0 waited too long for this zl's proof; try again"),
            Self::Nonsense => f.write_str("the other end does not speak this protocol"),
        }
    }
}

impl core::error::Error for Refusal {}

#[derive(Debug)]
enum Gate {
    Hello,
    Proof { client: Nonce },
    Open,
}

/// The control domain's end.
#[derive(Debug)]
pub struct Server {
    token: Token,
    nonce: Nonce,
    gate: Gate,
    frames: Frames,
}

impl Server {
    /// A connection that just came; `nonce` was never used before.
    #[must_use]
    pub fn new(token: Token, nonce: Nonce) -> Self {
        Self { token, nonce, gate: Gate::Hello, frames: Frames::new(LONGEST_GREETING) }
    }

    /// Whether the host has proven itself.
    #[must_use]
    pub fn is_open(&self) -> bool {
        matches!(self.gate, Gate::Open)
    }

    /// Takes bytes that arrived, as many as there is room for; see [`Frames::push`].
    pub fn push(&mut self, bytes: &[u8]) -> usize {
        self.frames.push(bytes)
    }

    /// The next frame of a host that has proven itself; what the handshake has to say goes to `out`.
    ///
    /// # Errors
    /// The connection must end, after `out` was sent.
    pub fn take(&mut self, out: &mut Vec<u8>) -> Result<Option<&[u8]>, Refusal> {
        while !self.is_open() {
            let stepped = self.step(out);
            match stepped {
                Ok(true) => {}
                Ok(false) => return Ok(None),
                Err(refusal) => {
                    refuse(refusal, out);
                    return Err(refusal);
                }
            }
        }
        self.frames.take().map_err(|_| Refusal::Nonsense)
    }

    /// One message of the handshake; false when it is not there yet.
    fn step(&mut self, out: &mut Vec<u8>) -> Result<bool, Refusal> {
        let taken = self.frames.take().map_err(|_| Refusal::Nonsense)?;
        let Some(payload) = taken else { return Ok(false) };
        match self.gate {
            Gate::Open => {}
            Gate::Hello => {
                let hello: Hello = decode(payload).map_err(|_| Refusal::Nonsense)?;
                check_hello(&hello)?;
                self.gate = Gate::Proof { client: hello.nonce };
                let nonce = self.nonce;
                say(&Answer::Challenge(Hello { magic: MAGIC, version: VERSION, nonce }), out);
            }
            Gate::Proof { client } => {
                let proof: Proof = decode(payload).map_err(|_| Refusal::Nonsense)?;
                if !self.token.check(End::Client, &client, &self.nonce, &proof) {
                    return Err(Refusal::Token);
                }
                self.gate = Gate::Open;
                self.frames.set_limit(LONGEST);
                let proof = self.token.prove(End::Server, &client, &self.nonce);
                say(&Answer::Welcome(proof), out);
            }
        }
        Ok(true)
    }
}

fn check_hello(hello: &Hello) -> Result<(), Refusal> {
    match hello {
        Hello { magic: MAGIC, version: VERSION, .. } => Ok(()),
        Hello { magic: MAGIC, .. } => Err(Refusal::Version(VERSION)),
        _ => Err(Refusal::Nonsense),
    }
}

/// Appends a refusal.
pub fn refuse(refusal: Refusal, out: &mut Vec<u8>) {
    say(&Answer::Refused(refusal), out);
}

fn say(answer: &Answer, out: &mut Vec<u8>) {
    // The messages of the handshake are short, so they fit.
    let _ = encode(answer, out);
}

/// The host's end.
#[derive(Debug)]
pub struct Client {
    token: Token,
    nonce: Nonce,
    server: Option<Nonce>,
    is_done: bool,
}

impl Client {
    /// Begins: what goes to `out` is to be sent.
    #[must_use]
    pub fn new(token: Token, nonce: Nonce, out: &mut Vec<u8>) -> Self {
        // Fits, see `say`.
        let _ = encode(&Hello { magic: MAGIC, version: VERSION, nonce }, out);
        Self { token, nonce, server: None, is_done: false }
    }

    /// Whether both ends have proven themselves.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.is_done
    }

    /// Takes a frame of the other end; what goes to `out` is to be sent.
    ///
    /// # Errors
    /// Why the connection is of no use.
    pub fn take(&mut self, payload: &[u8], out: &mut Vec<u8>) -> Result<(), Refusal> {
        let answer: Answer = decode(payload).map_err(|_| Refusal::Nonsense)?;
        match (answer, self.server) {
            (Answer::Refused(refusal), _) => Err(refusal),
            (Answer::Challenge(challenge), None) => {
                check_hello(&challenge)?;
                self.server = Some(challenge.nonce);
                let proof = self.token.prove(End::Client, &self.nonce, &challenge.nonce);
                encode(&proof, out).map_err(|_| Refusal::Nonsense)
            }
            (Answer::Welcome(proof), Some(server)) => {
                if !self.token.check(End::Server, &self.nonce, &server, &proof) {
                    return Err(Refusal::Token);
                }
                self.is_done = true;
                Ok(())
            }
            _ => Err(Refusal::Nonsense),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Reply, Request};
    use proptest::prelude::*;

    const TOKEN: [u8; 32] = [7; 32];

    /// Carries bytes between two ends until neither has anything to say.
    fn meet(client_token: [u8; 32]) -> (Server, Result<bool, Refusal>) {
        let mut server = Server::new(Token::new(TOKEN), [1; 32]);
        let mut up = Vec::new();
        let mut client = Client::new(Token::new(client_token), [2; 32], &mut up);
        let mut down = Frames::new(LONGEST_GREETING);
        loop {
            let mut out = Vec::new();
            assert_eq!(server.push(&up), up.len());
            up.clear();
            let taken = server.take(&mut out).map(|frame| frame.is_some());
            assert!(taken != Ok(true), "a frame before any request");
            down.push(&out);
            while let Some(payload) = down.take().unwrap() {
                if let Err(refusal) = client.take(payload, &mut up) {
                    return (server, Err(refusal));
                }
            }
            if up.is_empty() {
                return (server, Ok(client.is_done()));
            }
        }
    }

    #[test]
    fn ends_with_one_token_meet() {
        let (mut server, met) = meet(TOKEN);
        assert_eq!(met, Ok(true));
        assert!(server.is_open());
        let mut bytes = Vec::new();
        encode(&Request::Interrupt, &mut bytes).unwrap();
        server.push(&bytes);
        let mut out = Vec::new();
        let payload = server.take(&mut out).unwrap().unwrap();
        assert_eq!(decode::<Request<'_>>(payload), Ok(Request::Interrupt));
        assert!(out.is_empty());
    }

    #[test]
    fn another_token_is_refused() {
        let (server, met) = meet([8; 32]);
        assert_eq!(met, Err(Refusal::Token));
        assert!(!server.is_open());
    }

    #[test]
    fn another_version_is_told_ours() {
        let mut server = Server::new(Token::new(TOKEN), [1; 32]);
        let mut bytes = Vec::new();
        let hello = Hello { magic: MAGIC, version: VERSION + 1, nonce: [2; 32] };
        encode(&hello, &mut bytes).unwrap();
        server.push(&bytes);
        assert_eq!(server.take(&mut Vec::new()), Err(Refusal::Version(VERSION)));
    }

    #[test]
    fn an_impostor_is_noticed() {
        let mut up = Vec::new();
        let mut client = Client::new(Token::new(TOKEN), [2; 32], &mut up);
        let challenge = Hello { magic: MAGIC, version: VERSION, nonce: [9; 32] };
        let mut payload = postcard::to_allocvec(&Answer::Challenge(challenge)).unwrap();
        assert_eq!(client.take(&payload, &mut up), Ok(()));
        payload = postcard::to_allocvec(&Answer::Welcome([0; 32])).unwrap();
        assert_eq!(client.take(&payload, &mut up), Err(Refusal::Token));
        assert!(!client.is_done());
        // A welcome without a challenge proves nothing.
        let mut client = Client::new(Token::new(TOKEN), [2; 32], &mut up);
        assert_eq!(client.take(&payload, &mut up), Err(Refusal::Nonsense));
    }

    /// Everything a stranger may get to see.
    fn is_harmless(out: &[u8]) -> bool {
        let mut frames = Frames::new(LONGEST);
        frames.push(out);
        while let Ok(Some(payload)) = frames.take() {
            let answer: Result<Answer, _> = decode(payload);
            if !matches!(answer, Ok(Answer::Refused(_) | Answer::Challenge(_))) {
                return false;
            }
        }
        frames.is_empty()
    }

    proptest! {
        #[test]
        fn strangers_get_nothing_but_a_challenge_and_a_refusal(
            begin_well: bool, pieces: Vec<Vec<u8>>, framed: bool,
        ) {
            let mut server = Server::new(Token::new(TOKEN), [1; 32]);
            let mut bytes = Vec::new();
            if begin_well {
                let _ = Client::new(Token::new([0; 32]), [2; 32], &mut bytes);
            }
            for piece in pieces {
                if framed {
                    bytes.extend((piece.len() as u32).to_le_bytes());
                }
                bytes.extend(piece);
            }
            let mut out = Vec::new();
            let mut rest = &bytes[..];
            while !rest.is_empty() {
                rest = &rest[server.push(rest)..];
                match server.take(&mut out) {
                    Ok(frame) => prop_assert!(frame.is_none()),
                    Err(_) => break,
                }
            }
            prop_assert!(!server.is_open());
            prop_assert!(is_harmless(&out));
        }

        #[test]
        fn no_server_makes_a_client_panic_or_believe(payloads: Vec<Vec<u8>>) {
            let mut out = Vec::new();
            let mut client = Client::new(Token::new(TOKEN), [2; 32], &mut out);
            for payload in payloads {
                let _ = client.take(&payload, &mut out);
            }
            prop_assert!(!client.is_done());
        }
    }

    #[test]
    fn replies_are_no_greetings() {
        // The gate is what keeps replies from strangers; this holds the two apart by form as well.
        let mut bytes = Vec::new();
        encode(&Reply::Stored, &mut bytes).unwrap();
        assert!(!is_harmless(&bytes));
    }
}
