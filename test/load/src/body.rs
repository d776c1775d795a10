//! One message that is sent again and again, each time with another request id in it.

use std::cell::Cell;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::{BufMut, Bytes, BytesMut};

/// Hex digits of a request id.
const ID_DIGITS: usize = 64;

pub struct Body {
    before: Bytes,
    after: Bytes,
    /// Differs between runs, so that a second run on the same server repeats no id.
    run: u128,
    calls: Cell<u128>,
}

impl Body {
    pub fn read(path: &Path, id_at: usize) -> std::io::Result<Self> {
        let bytes = Bytes::from(std::fs::read(path)?);
        let id = bytes.get(id_at..id_at + ID_DIGITS).unwrap_or_default();
        if id.len() != ID_DIGITS || !id.iter().all(u8::is_ascii_hexdigit) {
            return Err(std::io::Error::other(format!("no 64 hex digits at offset {id_at} of {}", path.display())));
        }
        let nanos = SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |since| since.as_nanos());
        Ok(Self {
            before: bytes.slice(..id_at),
            after: bytes.slice(id_at + ID_DIGITS..),
            run: (nanos << 32) | u128::from(std::process::id()),
            calls: Cell::new(0),
        })
    }

    pub fn len(&self) -> usize {
        self.before.len() + ID_DIGITS + self.after.len()
    }

    /// The next message in two pieces, behind `prefix`; the large second piece is shared by all messages.
    pub fn next(&self, prefix: &[u8]) -> (Bytes, Bytes) {
        let call = self.calls.get() + 1;
        self.calls.set(call);
        let mut first = BytesMut::with_capacity(prefix.len() + self.before.len() + ID_DIGITS);
        first.put_slice(prefix);
        first.put_slice(&self.before);
        first.put_slice(format!("{:032x}{call:032x}", self.run).as_bytes());
        (first.freeze(), self.after.clone())
    }
}
