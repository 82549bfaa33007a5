//! How a client and the keeper of an authenticated store talk: a handshake in which both prove
//! that they know the run's secret, then frames of which each carries a code.
//!
//! ```text
//! client → keeper   MAGIC, 32 random bytes C
//! keeper → client   MAGIC, 32 random bytes K, HMAC(secret, "keeper", C, K)
//! client → keeper   HMAC(secret, "client", C, K)
//! ```
//!
//! A frame is the length of its body (u32, little-endian), the body, and the HMAC of its number
//! and its body under a key of this connection and this direction: what was recorded elsewhere,
//! changed, repeated or left out on the way is not taken. Nothing is encrypted.

use std::io::{self, Read, Write};

use crate::secret::{Secret, Tag};

/// Begins a connection. libtorch's store takes no such first byte.
pub(crate) const MAGIC: [u8; 8] = *b"\xf5c10d/1\n";
/// The most bytes of one value.
pub(crate) const LONGEST_VALUE: usize = 16 << 20;
/// The most bytes of one frame's body: a value, or the keys that a rank of many waits for.
const LONGEST_BODY: usize = LONGEST_VALUE + (1 << 20);

/// What a client asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// Key and value.
    Set = 1,
    /// Key, expected value (empty: none), new value; the answer is what is there afterwards.
    CompareSet = 2,
    /// Key; waits for it as long as the number says, in milliseconds.
    Get = 3,
    /// Key; adds the number to its value.
    Add = 4,
    /// Key; the answer is 1 if there was one.
    Delete = 5,
    /// Keys; the answer is 1 if all are there.
    Check = 6,
    /// Keys; waits for them as long as the number says, in milliseconds.
    Wait = 7,
    /// The answer is the number of keys.
    Count = 8,
}

impl Verb {
    const ALL: [Verb; 8] = [
        Verb::Set,
        Verb::CompareSet,
        Verb::Get,
        Verb::Add,
        Verb::Delete,
        Verb::Check,
        Verb::Wait,
        Verb::Count,
    ];

    pub(crate) fn from_code(code: u8) -> Option<Verb> {
        Verb::ALL.into_iter().find(|&verb| verb as u8 == code)
    }

    /// How many parts a request has.
    fn takes(self, count: usize) -> bool {
        match self {
            Verb::Set => count == 2,
            Verb::CompareSet => count == 3,
            Verb::Get | Verb::Add | Verb::Delete => count == 1,
            Verb::Check | Verb::Wait => true,
            Verb::Count => count == 0,
        }
    }
}

/// A request as it is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request<'a> {
    /// What is asked for.
    pub verb: Verb,
    /// A summand or a time.
    pub number: i64,
    /// Keys and values.
    pub parts: Vec<&'a [u8]>,
}

impl<'a> Request<'a> {
    /// As the body of a frame.
    pub fn encode(&self) -> Vec<u8> {
        let mut body = vec![self.verb as u8];
        body.extend(self.number.to_le_bytes());
        for part in &self.parts {
            // Frames are far shorter than 4 GiB, which is checked when they are sent.
            body.extend((part.len() as u32).to_le_bytes());
            body.extend(*part);
        }
        body
    }

    /// The request in the body of a frame, if it is one.
    pub fn decode(body: &'a [u8]) -> Option<Request<'a>> {
        let (&code, rest) = body.split_first()?;
        let (number, mut rest) = rest.split_first_chunk::<8>()?;
        let mut parts = Vec::new();
        while !rest.is_empty() {
            let (length, after) = rest.split_first_chunk::<4>()?;
            let (part, after) = after.split_at_checked(u32::from_le_bytes(*length) as usize)?;
            parts.push(part);
            rest = after;
        }
        let verb = Verb::from_code(code).filter(|verb| verb.takes(parts.len()))?;
        Some(Request { verb, number: i64::from_le_bytes(*number), parts })
    }
}

/// One direction of a connection.
#[derive(Debug)]
pub(crate) struct Lane {
    key: Secret,
    frames: u64,
}

impl Lane {
    pub(crate) fn send(&mut self, to: &mut impl Write, body: &[u8]) -> io::Result<()> {
        let length = u32::try_from(body.len()).ok().filter(|_| body.len() <= LONGEST_BODY);
        let length = length.ok_or_else(|| invalid("a value for the store is too long"))?;
        let tag = self.key.tag("frame", &[&self.frames.to_le_bytes(), body]);
        self.frames += 1;
        let mut frame = Vec::with_capacity(body.len() + 36);
        frame.extend(length.to_le_bytes());
        frame.extend(body);
        frame.extend(tag);
        to.write_all(&frame)
    }

    pub(crate) fn receive(&mut self, from: &mut impl Read) -> io::Result<Vec<u8>> {
        let mut length = [0; 4];
        from.read_exact(&mut length)?;
        let length = u32::from_le_bytes(length) as usize;
        if length > LONGEST_BODY {
            return Err(invalid("a frame is too long"));
        }
        // Grows as bytes come: a length alone reserves nothing.
        let mut body = Vec::new();
        from.take(length as u64).read_to_end(&mut body)?;
        let mut tag: Tag = [0; 32];
        from.read_exact(&mut tag)?;
        let numbered = [&self.frames.to_le_bytes()[..], &body];
        if body.len() != length || !self.key.verifies(&tag, "frame", &numbered) {
            return Err(invalid("a frame was altered on its way"));
        }
        self.frames += 1;
        Ok(body)
    }
}

/// Both directions, as one end sees them.
#[derive(Debug)]
pub(crate) struct Lanes {
    pub(crate) out: Lane,
    pub(crate) back: Lane,
}

/// Why there was no handshake.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// The other end hung up, was silent too long, or does not speak this protocol.
    NoAnswer(io::Error),
    /// It does not know the secret.
    AnotherSecret,
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Refusal {
        Refusal::NoAnswer(error)
    }
}

/// The client's part of the handshake.
pub(crate) fn greet(stream: &mut (impl Read + Write), secret: &Secret) -> Result<Lanes, Refusal> {
    let mine = nonce()?;
    stream.write_all(&[&MAGIC[..], &mine].concat())?;
    let theirs = magic_and_nonce(stream)?;
    let mut tag: Tag = [0; 32];
    stream.read_exact(&mut tag)?;
    if !secret.verifies(&tag, "keeper", &[&mine, &theirs]) {
        // No proof: the keeper can log that somebody came with another secret.
        let _ = stream.write_all(&[0; 32]);
        return Err(Refusal::AnotherSecret);
    }
    stream.write_all(&secret.tag("client", &[&mine, &theirs]))?;
    let [out, back] = lanes(secret, &mine, &theirs);
    Ok(Lanes { out, back })
}

/// The keeper's part of the handshake.
pub(crate) fn admit(stream: &mut (impl Read + Write), secret: &Secret) -> Result<Lanes, Refusal> {
    let theirs = magic_and_nonce(stream)?;
    let mine = nonce()?;
    let tag = secret.tag("keeper", &[&theirs, &mine]);
    stream.write_all(&[&MAGIC[..], &mine, &tag].concat())?;
    let mut tag: Tag = [0; 32];
    stream.read_exact(&mut tag)?;
    if !secret.verifies(&tag, "client", &[&theirs, &mine]) {
        return Err(Refusal::AnotherSecret);
    }
    let [back, out] = lanes(secret, &theirs, &mine);
    Ok(Lanes { out, back })
}

/// From the client and to it.
fn lanes(secret: &Secret, client: &Tag, keeper: &Tag) -> [Lane; 2] {
    ["to keeper", "to client"]
        .map(|purpose| Lane { key: secret.derive(purpose, &[client, keeper]), frames: 0 })
}

fn magic_and_nonce(stream: &mut impl Read) -> io::Result<Tag> {
    let mut magic = [0; MAGIC.len()];
    // Byte by byte: one that speaks another protocol may wait for an answer to its first one.
    for (byte, expected) in magic.iter_mut().zip(MAGIC) {
        stream.read_exact(std::slice::from_mut(byte))?;
        if *byte != expected {
            return Err(invalid("it does not begin as this program's store does"));
        }
    }
    let mut nonce: Tag = [0; 32];
    stream.read_exact(&mut nonce)?;
    Ok(nonce)
}

fn nonce() -> io::Result<Tag> {
    let mut nonce: Tag = [0; 32];
    getrandom::fill(&mut nonce).map_err(|error| io::Error::other(error.to_string()))?;
    Ok(nonce)
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn requests_are_read_as_they_were_written_and_nothing_else_is() {
        let request = Request { verb: Verb::Set, number: -7, parts: vec![b"key", b""] };
        let body = request.encode();
        assert_eq!(Request::decode(&body), Some(request));
        for cut in 0..body.len() {
            assert_eq!(Request::decode(&body[..cut]), None, "{cut}");
        }
        assert_eq!(Request::decode(&[9; 9]), None);
        let long = [&[3][..], &[0; 8], &u32::MAX.to_le_bytes(), b"x"].concat();
        assert_eq!(Request::decode(&long), None);
    }

    #[test]
    fn a_frame_is_taken_once_in_its_place_and_unaltered() {
        let secret = Secret::random().unwrap();
        let [mut out, mut other] = lanes(&secret, &[1; 32], &[2; 32]);
        let mut sent = [Vec::new(), Vec::new()];
        for frame in &mut sent {
            out.send(frame, b"body").unwrap();
        }
        let receiver = || lanes(&secret, &[1; 32], &[2; 32]).into_iter().next().unwrap();
        let mut lane = receiver();
        assert_eq!(lane.receive(&mut &sent[0][..]).unwrap(), b"body");
        assert!(lane.receive(&mut &sent[0][..]).is_err());
        assert_eq!(lane.receive(&mut &sent[1][..]).unwrap(), b"body");
        assert!(other.receive(&mut &sent[0][..]).is_err());
        for at in 0..sent[0].len() {
            let mut altered = sent[0].clone();
            altered[at] ^= 1;
            assert!(receiver().receive(&mut &altered[..]).is_err(), "{at}");
        }
        assert!(receiver().receive(&mut &[255; 64][..]).is_err());
        assert!(out.send(&mut Vec::new(), &vec![0; LONGEST_BODY + 1]).is_err());
    }
}
