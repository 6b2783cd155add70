//! Requests of the host and replies of the control domain.
//!
//! After the handshake the host sends one request at a time: `Run`, `Put`, `Get`, `Has` or `Complete`,
//! and the control domain answers until the request is at its end. While a verb runs, the host may
//! send `Typed`, `Interrupt`, `Leave` and `Resize`; while it sends a file, `Chunk`, `PutEnd` and
//! `PutAbort`. The end of the connection ends whatever runs.
//!
//! Bytes and texts are borrowed from the frame they came in, so that nothing is copied twice.

use alloc::vec::Vec;
use core::fmt;
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Raw bytes, written and read in one piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bytes<'a>(pub &'a [u8]);

impl Serialize for Bytes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Bytes<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_bytes(BytesVisitor)
    }
}

struct BytesVisitor;

impl<'de> Visitor<'de> for BytesVisitor {
    type Value = Bytes<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("bytes")
    }

    fn visit_borrowed_bytes<E: Error>(self, bytes: &'de [u8]) -> Result<Self::Value, E> {
        Ok(Bytes(bytes))
    }
}

/// The size of a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Size {
    /// Characters in a row.
    pub columns: u16,
    /// Rows.
    pub rows: u16,
}

/// Where a file goes that the host sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Room {
    /// Into memory, for the next `create` of this connection only.
    Memory,
    /// To this path of the control domain's disk, in place of what is there.
    Disk,
}

/// Who reads the words of a `Run`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Speaker {
    /// They are a verb of `zl` with its words.
    Zl,
    /// They are a command of the control domain's shell.
    Shell,
}

/// What the host asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request<'a> {
    /// Carry words out; ends with `Exit`.
    Run {
        /// Whose words they are.
        speaker: Speaker,
        /// The words.
        #[serde(borrow)]
        words: Vec<&'a str>,
        /// The person's terminal, if there is one.
        terminal: Option<Size>,
    },
    /// Bytes that were typed.
    Typed(Bytes<'a>),
    /// ^C.
    Interrupt,
    /// The console is to be left.
    Leave,
    /// The terminal has another size now.
    Resize(Size),
    /// A file follows; ends with `Stored` or `Failed`.
    Put {
        /// Its name.
        name: &'a str,
        /// Its length.
        len: u64,
        /// Where it goes.
        room: Room,
    },
    /// The next bytes of the file.
    Chunk(Bytes<'a>),
    /// The file is complete.
    PutEnd {
        /// Its CRC-32.
        sum: u32,
    },
    /// The file is not wanted any more; ends with `Failed`.
    PutAbort,
    /// A file is wanted; ends with `FileEnd` or `Failed`.
    Get {
        /// Its name.
        name: &'a str,
    },
    /// Whether a file exists; ends with `Found`.
    Has {
        /// Its name.
        name: &'a str,
    },
    /// What the last of these words could become; ends with `Candidates`.
    Complete {
        /// The words behind `zl`.
        #[serde(borrow)]
        words: Vec<&'a str>,
    },
}

/// Where output belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Channel {
    /// Results.
    Out,
    /// Complaints.
    Err,
}

/// What the control domain answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply<'a> {
    /// What a verb printed.
    Output {
        /// Where it belongs.
        to: Channel,
        /// The bytes.
        #[serde(borrow)]
        bytes: Bytes<'a>,
    },
    /// From now on each key is wanted as it is typed, and none means anything to the host but the
    /// one that leaves.
    Keys {
        /// The key that leaves; none when every key goes through.
        leave: Option<u8>,
    },
    /// Keys are the host's own again.
    Lines,
    /// The verb is at its end.
    Exit {
        /// Its status.
        status: u8,
    },
    /// The file may be sent up to this byte.
    Window {
        /// The first byte that must wait.
        up_to: u64,
    },
    /// The file is stored.
    Stored,
    /// A file follows.
    File {
        /// Its length.
        len: u64,
    },
    /// The next bytes of the file.
    Chunk(Bytes<'a>),
    /// The file is complete.
    FileEnd {
        /// Its CRC-32.
        sum: u32,
    },
    /// Whether the file exists, and how long it is.
    Found(Option<u64>),
    /// What the word could become.
    Candidates(#[serde(borrow)] Vec<&'a str>),
    /// The request failed.
    Failed {
        /// The status for scripts.
        status: u8,
        /// One line for people.
        text: &'a str,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::decode;
    use crate::{encode, Frames};
    use alloc::string::String;
    use proptest::prelude::*;

    fn round_trip<T: Serialize + PartialEq + fmt::Debug>(
        message: &T,
        read: impl Fn(&[u8], &T) -> bool,
    ) {
        let mut bytes = Vec::new();
        encode(message, &mut bytes).unwrap();
        let mut frames = Frames::new(crate::frame::LONGEST);
        assert_eq!(frames.push(&bytes), bytes.len());
        let payload = frames.take().unwrap().unwrap();
        assert!(read(payload, message), "{message:?}");
    }

    fn request(message: &Request<'_>) {
        round_trip(message, |payload, sent| decode::<Request<'_>>(payload).as_ref() == Ok(sent));
    }

    fn reply(message: &Reply<'_>) {
        round_trip(message, |payload, sent| decode::<Reply<'_>>(payload).as_ref() == Ok(sent));
    }

    proptest! {
        #[test]
        fn messages_arrive_as_they_were_sent(
            words: Vec<String>, bytes: Vec<u8>, number: u64, sum: u32, columns: u16, status: u8,
        ) {
            let size = Size { columns, rows: 24 };
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            let name = words.first().copied().unwrap_or("");
            let (speaker, terminal) = (Speaker::Shell, Some(size));
            request(&Request::Run { speaker, words: words.clone(), terminal });
            request(&Request::Typed(Bytes(&bytes)));
            request(&Request::Interrupt);
            request(&Request::Leave);
            request(&Request::Resize(size));
            request(&Request::Put { name, len: number, room: Room::Disk });
            request(&Request::Chunk(Bytes(&bytes)));
            request(&Request::PutEnd { sum });
            request(&Request::PutAbort);
            request(&Request::Get { name });
            request(&Request::Has { name });
            request(&Request::Complete { words: words.clone() });
            reply(&Reply::Output { to: Channel::Err, bytes: Bytes(&bytes) });
            reply(&Reply::Keys { leave: Some(status) });
            reply(&Reply::Lines);
            reply(&Reply::Exit { status });
            reply(&Reply::Window { up_to: number });
            reply(&Reply::Stored);
            reply(&Reply::File { len: number });
            reply(&Reply::Chunk(Bytes(&bytes)));
            reply(&Reply::FileEnd { sum });
            reply(&Reply::Found(Some(number)));
            reply(&Reply::Candidates(words.clone()));
            reply(&Reply::Failed { status, text: name });
        }

        #[test]
        fn no_bytes_panic_as_a_message(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode::<Request<'_>>(&bytes);
            let _ = decode::<Reply<'_>>(&bytes);
        }
    }
}
