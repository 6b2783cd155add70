//! The messages between a domain and the store, as bytes.
//!
//! Both ends use it: the store's server for each ring, a guest's client for its own. A message is a
//! head of 16 bytes and at most [`PAYLOAD_MAX`] bytes behind it; it can arrive in any pieces.
//! [`Decoder`] keeps at most one message and never trusts a length before it was checked. What the
//! payloads mean is the business of the two ends; their common forms (NUL-terminated strings,
//! permissions, names of errors) are here.

pub use hypercall_abi::io::xs_wire::{
    PAYLOAD_MAX, XS_CONTROL, XS_DIRECTORY, XS_DIRECTORY_PART, XS_ERROR, XS_GET_DOMAIN_PATH,
    XS_GET_PERMS, XS_INTRODUCE, XS_IS_DOMAIN_INTRODUCED, XS_MKDIR, XS_READ, XS_RELEASE,
    XS_RESET_WATCHES, XS_RESUME, XS_RM, XS_SET_PERMS, XS_SET_TARGET, XS_TRANSACTION_END,
    XS_TRANSACTION_START, XS_UNWATCH, XS_WATCH, XS_WATCH_EVENT, XS_WRITE,
};

use crate::store::{Perm, Rights, Tx};
use alloc::vec::Vec;
use core::fmt;
use hypercall_abi::{DomId, Errno};

/// Bytes of a head.
pub const HEAD_SIZE: usize = 16;
/// The answer to a command that returns nothing.
pub const OK: &[u8] = b"OK\0";

/// The errors the protocol has names for. Any other becomes `EINVAL` on its way out.
pub const ERRORS: [Errno; 16] = [
    Errno::EINVAL,
    Errno::EACCES,
    Errno::EEXIST,
    Errno::EISDIR,
    Errno::ENOENT,
    Errno::ENOMEM,
    Errno::ENOSPC,
    Errno::EIO,
    Errno::ENOTEMPTY,
    Errno::ENOSYS,
    Errno::EROFS,
    Errno::EBUSY,
    Errno::EAGAIN,
    Errno::EISCONN,
    Errno::E2BIG,
    Errno::EPERM,
];

/// One message, request or answer or event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// An `XS_*` number.
    pub kind: u32,
    /// Chosen by the client, returned with the answer; 0 in events.
    pub req_id: u32,
    /// The transaction.
    pub tx: Tx,
    /// What follows the head.
    pub payload: Vec<u8>,
}

impl Message {
    /// A message.
    #[must_use]
    pub fn new(kind: u32, req_id: u32, tx: Tx, payload: Vec<u8>) -> Self {
        Self { kind, req_id, tx, payload }
    }

    /// The event for a watch.
    #[must_use]
    pub fn watch_event(path: &str, token: &[u8]) -> Self {
        Self::new(XS_WATCH_EVENT, 0, Tx::NONE, strings(&[path.as_bytes(), token]))
    }

    /// The answer to this request.
    #[must_use]
    pub fn answer(&self, result: Result<Vec<u8>, Errno>) -> Self {
        match result {
            Ok(payload) => Self::new(self.kind, self.req_id, self.tx, payload),
            Err(errno) => Self::new(XS_ERROR, self.req_id, self.tx, error_payload(errno)),
        }
    }

    /// What an answer says.
    ///
    /// # Errors
    /// The error it carries.
    pub fn into_result(self) -> Result<Vec<u8>, Errno> {
        match self.kind {
            XS_ERROR => Err(error_of(&self.payload)),
            _ => Ok(self.payload),
        }
    }

    /// Path and token of a watch event.
    #[must_use]
    pub fn as_watch_event(&self) -> Option<(&str, &[u8])> {
        if self.kind != XS_WATCH_EVENT {
            return None;
        }
        let mut parts = split(&self.payload)?;
        let path = core::str::from_utf8(parts.next()?).ok()?;
        Some((path, parts.next()?))
    }

    /// Bytes on the wire.
    #[must_use]
    pub fn wire_len(&self) -> usize {
        HEAD_SIZE + self.payload.len()
    }

    /// Appends the message as bytes.
    pub fn encode_into(&self, bytes: &mut Vec<u8>) {
        let len = self.payload.len() as u32;
        for word in [self.kind, self.req_id, self.tx.0, len] {
            bytes.extend_from_slice(&word.to_le_bytes());
        }
        bytes.extend_from_slice(&self.payload);
    }

    /// The message as bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.wire_len());
        self.encode_into(&mut bytes);
        bytes
    }
}

/// A head announced more than [`PAYLOAD_MAX`] bytes: nothing that follows can be understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong {
    /// What the head said.
    pub len: u32,
}

impl fmt::Display for TooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a message of {} bytes, more than {PAYLOAD_MAX}", self.len)
    }
}

/// Puts messages together from bytes in any pieces.
#[derive(Clone, Debug, Default)]
pub struct Decoder {
    head: [u8; HEAD_SIZE],
    head_filled: usize,
    payload: Vec<u8>,
}

impl Decoder {
    /// A decoder that waits for a head.
    #[must_use]
    pub const fn new() -> Self {
        Self { head: [0; HEAD_SIZE], head_filled: 0, payload: Vec::new() }
    }

    /// Whether the beginning of a message was seen, but not its end.
    #[must_use]
    pub fn is_inside_message(&self) -> bool {
        self.head_filled > 0
    }

    /// Bytes that can be fed for sure before the next message is complete or its head known.
    #[must_use]
    pub fn wanted(&self) -> usize {
        match self.head_filled < HEAD_SIZE {
            true => HEAD_SIZE - self.head_filled,
            false => (self.word(3) as usize).saturating_sub(self.payload.len()),
        }
    }

    /// Takes bytes up to the end of one message. Returns how many were taken and the message that
    /// they completed; call again with the rest.
    ///
    /// # Errors
    /// The head announces too much; the stream has no meaning from here on.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<(usize, Option<Message>), TooLong> {
        let mut taken = 0;
        if self.head_filled < HEAD_SIZE {
            let room = self.head.iter_mut().skip(self.head_filled);
            for (to, from) in room.zip(bytes) {
                *to = *from;
                taken += 1;
            }
            self.head_filled += taken;
            if self.head_filled < HEAD_SIZE {
                return Ok((taken, None));
            }
        }
        let len = self.word(3);
        if len as usize > PAYLOAD_MAX {
            return Err(TooLong { len });
        }
        let rest = bytes.get(taken..).unwrap_or(&[]);
        let more = rest.get(..self.wanted()).unwrap_or(rest);
        self.payload.extend_from_slice(more);
        taken += more.len();
        match self.wanted() {
            0 => Ok((taken, Some(self.finish()))),
            _ => Ok((taken, None)),
        }
    }

    fn finish(&mut self) -> Message {
        self.head_filled = 0;
        let payload = core::mem::take(&mut self.payload);
        Message::new(self.word(0), self.word(1), Tx(self.word(2)), payload)
    }

    fn word(&self, index: usize) -> u32 {
        let bytes = self.head.chunks_exact(4).nth(index).and_then(|four| four.try_into().ok());
        bytes.map_or(0, u32::from_le_bytes)
    }
}

/// Strings, each followed by a NUL.
#[must_use]
pub fn strings(parts: &[&[u8]]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(parts.iter().map(|part| part.len() + 1).sum());
    for part in parts {
        bytes.extend_from_slice(part);
        bytes.push(0);
    }
    bytes
}

/// The strings of a payload in which each is followed by a NUL; `None` if the last one is not.
pub fn split(payload: &[u8]) -> Option<impl Iterator<Item = &[u8]>> {
    // Splitting nothing would give one empty string; the limits make both arms of one type.
    match payload.split_last() {
        None => Some(payload.split(is_nul).take(0)),
        Some((0, strings)) => Some(strings.split(is_nul).take(usize::MAX)),
        Some(_) => None,
    }
}

fn is_nul(byte: &u8) -> bool {
    *byte == 0
}

/// The payload of an error.
#[must_use]
pub fn error_payload(errno: Errno) -> Vec<u8> {
    let known = if ERRORS.contains(&errno) { errno } else { Errno::EINVAL };
    strings(&[known.name().as_bytes()])
}

/// The error a payload names; `EINVAL` for one this protocol does not know.
#[must_use]
pub fn error_of(payload: &[u8]) -> Errno {
    let name = payload.split(is_nul).next().unwrap_or(&[]);
    ERRORS.into_iter().find(|errno| errno.name().as_bytes() == name).unwrap_or(Errno::EINVAL)
}

/// Permissions as strings: a letter and a domain each.
#[must_use]
pub fn perms_payload(perms: &[Perm]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for perm in perms {
        bytes.extend_from_slice(alloc::format!("{perm}\0").as_bytes());
    }
    bytes
}

/// The permissions a payload names.
///
/// # Errors
/// `EINVAL` for anything else than letter and number, `n0` up to `b65535`.
pub fn perms_of(payload: &[u8]) -> Result<Vec<Perm>, Errno> {
    split(payload).ok_or(Errno::EINVAL)?.map(perm_of).collect()
}

/// One permission: a letter and a domain.
///
/// # Errors
/// `EINVAL` for anything else.
pub fn perm_of(text: &[u8]) -> Result<Perm, Errno> {
    let (letter, digits) = text.split_first().ok_or(Errno::EINVAL)?;
    let rights = Rights::from_letter(*letter).ok_or(Errno::EINVAL)?;
    Ok(Perm { domain: DomId::new(number(digits)?), rights })
}

/// A decimal number.
///
/// # Errors
/// `EINVAL` for anything but digits, and for a number that does not fit.
pub fn number<T: core::str::FromStr>(digits: &[u8]) -> Result<T, Errno> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(Errno::EINVAL);
    }
    let text = core::str::from_utf8(digits).map_err(|_| Errno::EINVAL)?;
    text.parse().map_err(|_| Errno::EINVAL)
}

impl Rights {
    /// The letter of the protocol.
    #[must_use]
    pub const fn letter(self) -> char {
        match self {
            Self::None => 'n',
            Self::Read => 'r',
            Self::Write => 'w',
            Self::Both => 'b',
        }
    }

    /// The rights a letter stands for.
    #[must_use]
    pub const fn from_letter(letter: u8) -> Option<Self> {
        match letter {
            b'n' => Some(Self::None),
            b'r' => Some(Self::Read),
            b'w' => Some(Self::Write),
            b'b' => Some(Self::Both),
            _ => None,
        }
    }

    /// Whether reading is among them.
    #[must_use]
    pub const fn can_read(self) -> bool {
        matches!(self, Self::Read | Self::Both)
    }

    /// Whether writing is among them.
    #[must_use]
    pub const fn can_write(self) -> bool {
        matches!(self, Self::Write | Self::Both)
    }
}

impl fmt::Display for Perm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.rights.letter(), self.domain)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn message() -> impl Strategy<Value = Message> {
        let payload = prop::collection::vec(any::<u8>(), 0..200);
        (any::<u32>(), any::<u32>(), any::<u32>(), payload)
            .prop_map(|(kind, req_id, tx, payload)| Message::new(kind, req_id, Tx(tx), payload))
    }

    fn decode_all(decoder: &mut Decoder, mut bytes: &[u8]) -> Result<Vec<Message>, TooLong> {
        let mut messages = Vec::new();
        while !bytes.is_empty() {
            let (taken, message) = decoder.feed(bytes)?;
            assert!(taken > 0 && taken <= bytes.len());
            bytes = &bytes[taken..];
            messages.extend(message);
        }
        Ok(messages)
    }

    #[test]
    fn errors_have_the_names_of_the_protocol() {
        for errno in ERRORS {
            assert_eq!(error_of(&error_payload(errno)), errno);
        }
        assert_eq!(error_payload(Errno::ENOENT), b"ENOENT\0");
        assert_eq!(error_payload(Errno::ETIMEDOUT), b"EINVAL\0");
        assert_eq!(error_of(b""), Errno::EINVAL);
        assert_eq!(error_of(b"EWHAT\0"), Errno::EINVAL);
        assert_eq!(error_of(b"EAGAIN"), Errno::EAGAIN);
    }

    #[test]
    fn permissions_are_letters_and_numbers() {
        let perms = perms_of(b"n0\0b7\0r65535\0").unwrap();
        assert_eq!(perms[1], Perm { domain: DomId::new(7), rights: Rights::Both });
        assert_eq!(perms_payload(&perms), b"n0\0b7\0r65535\0");
        for wrong in [&b"n0"[..], b"x0\0", b"n\0", b"\0", b"n65536\0", b"n+1\0", b"n-1\0", b"r 1\0"]
        {
            assert_eq!(perms_of(wrong), Err(Errno::EINVAL), "{wrong:?}");
        }
        assert!(Rights::Both.can_read() && Rights::Both.can_write());
        assert!(!Rights::Write.can_read() && !Rights::Read.can_write());
    }

    #[test]
    fn answers_repeat_the_numbers_of_the_request() {
        let request = Message::new(XS_READ, 7, Tx(9), strings(&[b"a"]));
        assert_eq!(request.answer(Ok(b"x".to_vec())).req_id, 7);
        let refused = request.answer(Err(Errno::EACCES));
        assert_eq!((refused.kind, refused.req_id, refused.tx), (XS_ERROR, 7, Tx(9)));
        assert_eq!(refused.into_result(), Err(Errno::EACCES));
        let event = Message::watch_event("a/b", b"tok");
        assert_eq!(event.as_watch_event(), Some(("a/b", &b"tok"[..])));
        assert_eq!(request.as_watch_event(), None);
    }

    #[test]
    fn a_message_too_long_is_refused_before_anything_is_kept() {
        let mut head = Message::new(XS_WRITE, 0, Tx::NONE, Vec::new()).encode();
        head[12..].copy_from_slice(&(PAYLOAD_MAX as u32 + 1).to_le_bytes());
        assert_eq!(Decoder::new().feed(&head), Err(TooLong { len: 4097 }));
        let longest = Message::new(XS_WRITE, 0, Tx::NONE, alloc::vec![7; PAYLOAD_MAX]);
        assert_eq!(decode_all(&mut Decoder::new(), &longest.encode()), Ok(alloc::vec![longest]));
    }

    proptest! {
        #[test]
        fn messages_survive_any_split(
            messages in prop::collection::vec(message(), 0..5),
            cuts in prop::collection::vec(1usize..50, 1..40),
        ) {
            let bytes: Vec<u8> = messages.iter().flat_map(Message::encode).collect();
            let (mut decoder, mut got, mut rest) = (Decoder::new(), Vec::new(), &bytes[..]);
            for cut in cuts.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (piece, later) = rest.split_at((*cut).min(rest.len()));
                got.extend(decode_all(&mut decoder, piece).unwrap());
                rest = later;
            }
            prop_assert_eq!(got, messages);
            prop_assert!(!decoder.is_inside_message());
        }

        #[test]
        fn any_bytes_are_decoded_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let mut decoder = Decoder::new();
            let _ = decode_all(&mut decoder, &bytes);
            prop_assert!(decoder.payload.len() <= PAYLOAD_MAX);
            let _ = (perms_of(&bytes), error_of(&bytes), split(&bytes).map(Iterator::count));
        }

        #[test]
        fn strings_come_out_as_they_went_in(
            parts in prop::collection::vec(prop::collection::vec(1u8.., 0..9), 0..5),
        ) {
            let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
            let payload = strings(&parts);
            prop_assert_eq!(split(&payload).unwrap().collect::<Vec<_>>(), parts);
            if let Some((_, cut)) = payload.split_last() {
                let no_end = cut.last().is_some_and(|last| *last != 0);
                prop_assert_eq!(split(cut).is_none(), no_end);
            }
        }
    }
}
