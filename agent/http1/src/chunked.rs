//! Following a chunked body (RFC 9112, 7.1): the scanner says of each run of bytes whether it is data or framing, and what
//! framing is to be passed on in its place: the size without leading zeros, no extensions, no trailers that may not be
//! there. The last chunk is passed on only when everything behind it has been read and checked, since some services act
//! on its first line. A number, a line end or an extension that is not exactly of the grammar ends it: readers disagree
//! about those, and that is how requests are smuggled.

use super::field::Field;

/// Of the extensions of one body, which carry nothing that anyone uses.
const EXTENSION_BYTES_MAX: u32 = 16 * 1024;
const TRAILER_BYTES_MAX: usize = 16 * 1024;
/// What a 64-bit number has.
const SIZE_DIGITS_MAX: u8 = 16;

/// Not a body as announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// What the next bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Run {
    Data(usize),
    /// Anything else; what goes on in its place is in [`Chunked::put_framing`].
    Framing(usize),
}

#[derive(Debug)]
pub struct Chunked {
    state: State,
    size: u64,
    digits: u8,
    extension_bytes: u32,
    /// The trailer section as read; once it is complete, what of it may pass.
    trailers: Vec<u8>,
    /// To be passed on.
    framing: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Size,
    Extension(Extension),
    SizeLf,
    Data,
    DataCr,
    DataLf,
    Trailers,
    Done,
}

/// Where in `*( BWS ";" BWS name [ BWS "=" BWS value ] )`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Extension {
    /// White space after the size or a value: only a `;` may follow.
    Before,
    NameStart,
    Name,
    AfterName,
    ValueStart,
    Value,
    Quoted,
    Escaped,
    AfterQuoted,
}

impl Chunked {
    pub(super) fn new() -> Self {
        Self { state: State::Size, size: 0, digits: 0, extension_bytes: 0, trailers: Vec::new(), framing: Vec::new() }
    }

    pub(super) fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Moves to `out` what goes on in place of the framing read so far.
    pub(super) fn put_framing(&mut self, out: &mut Vec<u8>) {
        out.append(&mut self.framing);
    }

    /// The trailers that may pass, as lines with an empty one at the end, if there are any; once.
    pub(super) fn take_trailers(&mut self) -> Option<Vec<u8>> {
        (self.is_done() && !self.trailers.is_empty()).then(|| std::mem::take(&mut self.trailers))
    }

    /// The longest run of one kind at the start of `bytes`, which must not be empty.
    pub(super) fn scan(&mut self, bytes: &[u8]) -> Result<Run, Malformed> {
        match self.state {
            State::Data => Ok(Run::Data(self.data(bytes))),
            State::Done => Err(Malformed),
            _ => {
                for (at, byte) in bytes.iter().enumerate() {
                    self.step(*byte)?;
                    if matches!(self.state, State::Data | State::Done) {
                        return Ok(Run::Framing(at + 1));
                    }
                }
                Ok(Run::Framing(bytes.len()))
            }
        }
    }

    fn data(&mut self, bytes: &[u8]) -> usize {
        let length = usize::try_from(self.size).unwrap_or(usize::MAX).min(bytes.len());
        self.size -= length as u64;
        if self.size == 0 {
            self.state = State::DataCr;
        }
        length
    }

    fn step(&mut self, byte: u8) -> Result<(), Malformed> {
        self.state = match (self.state, byte) {
            (State::Size, byte) if byte.is_ascii_hexdigit() => {
                self.digit(byte)?;
                State::Size
            }
            (State::Size, b'\r') if self.digits > 0 => State::SizeLf,
            (State::Size, byte) if self.digits > 0 => State::Extension(self.extension(Extension::Before, byte)?),
            (State::Extension(extension), b'\r') if extension.may_end() => State::SizeLf,
            (State::Extension(extension), byte) => State::Extension(self.extension(extension, byte)?),
            (State::SizeLf, b'\n') if self.size == 0 => State::Trailers,
            (State::SizeLf, b'\n') => {
                put_chunk_size(&mut self.framing, self.size);
                State::Data
            }
            (State::DataCr, b'\r') => State::DataLf,
            (State::DataLf, b'\n') => {
                self.framing.extend_from_slice(b"\r\n");
                self.digits = 0;
                State::Size
            }
            (State::Trailers, byte) => self.trailer(byte)?,
            _ => return Err(Malformed),
        };
        Ok(())
    }

    fn digit(&mut self, byte: u8) -> Result<(), Malformed> {
        if self.digits == 0 {
            self.size = 0;
        }
        if self.digits == SIZE_DIGITS_MAX {
            return Err(Malformed);
        }
        self.digits += 1;
        let value = (byte as char).to_digit(16).ok_or(Malformed)?;
        self.size = self.size << 4 | u64::from(value);
        Ok(())
    }

    fn extension(&mut self, at: Extension, byte: u8) -> Result<Extension, Malformed> {
        self.extension_bytes += 1;
        if self.extension_bytes > EXTENSION_BYTES_MAX { Err(Malformed) } else { at.next(byte) }
    }

    /// Collects the section, since a line can only be judged whole; its line ends are judged at once.
    fn trailer(&mut self, byte: u8) -> Result<State, Malformed> {
        let follows_cr = self.trailers.last() == Some(&b'\r');
        if follows_cr != (byte == b'\n') || self.trailers.len() == TRAILER_BYTES_MAX {
            return Err(Malformed);
        }
        self.trailers.push(byte);
        if self.trailers != b"\r\n" && !self.trailers.ends_with(b"\r\n\r\n") {
            return Ok(State::Trailers);
        }
        self.trailers = passed_trailers(&self.trailers)?;
        self.framing.extend_from_slice(b"0\r\n");
        self.framing.extend_from_slice(if self.trailers.is_empty() { b"\r\n" } else { &self.trailers });
        Ok(State::Done)
    }
}

/// A chunk's size line.
pub fn put_chunk_size(out: &mut Vec<u8>, size: u64) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let digits = (u64::BITS - size.leading_zeros()).div_ceil(4).max(1);
    out.extend((0..digits).rev().map(|at| HEX[(size >> (4 * at) & 0xf) as usize]));
    out.extend_from_slice(b"\r\n");
}

impl Extension {
    fn may_end(self) -> bool {
        matches!(self, Extension::Name | Extension::Value | Extension::AfterQuoted)
    }

    fn next(self, byte: u8) -> Result<Extension, Malformed> {
        let is_space = matches!(byte, b' ' | b'\t');
        match self {
            Extension::Before | Extension::NameStart | Extension::AfterName | Extension::ValueStart if is_space => {
                Ok(self)
            }
            Extension::Name if is_space => Ok(Extension::AfterName),
            Extension::Value | Extension::AfterQuoted if is_space => Ok(Extension::Before),
            Extension::Before | Extension::Name | Extension::AfterName | Extension::Value | Extension::AfterQuoted
                if byte == b';' =>
            {
                Ok(Extension::NameStart)
            }
            Extension::Name | Extension::AfterName if byte == b'=' => Ok(Extension::ValueStart),
            Extension::NameStart | Extension::Name if is_token(byte) => Ok(Extension::Name),
            Extension::ValueStart if byte == b'"' => Ok(Extension::Quoted),
            Extension::ValueStart | Extension::Value if is_token(byte) => Ok(Extension::Value),
            Extension::Quoted if byte == b'"' => Ok(Extension::AfterQuoted),
            Extension::Quoted if byte == b'\\' => Ok(Extension::Escaped),
            Extension::Quoted | Extension::Escaped if is_text(byte) => Ok(Extension::Quoted),
            _ => Err(Malformed),
        }
    }
}

/// The lines that may pass, with an empty line at the end; nothing if there are none.
fn passed_trailers(section: &[u8]) -> Result<Vec<u8>, Malformed> {
    let mut passed = Vec::new();
    // Each line ends in CRLF: a bare one of either was refused when it came.
    for line in section.split(|byte| *byte == b'\n').filter_map(|line| line.strip_suffix(b"\r")) {
        if line.is_empty() {
            break;
        }
        let colon = memchr::memchr(b':', line).ok_or(Malformed)?;
        let (name, value) = line.split_at(colon);
        if name.is_empty() || !name.iter().copied().all(is_token) || !value.iter().copied().all(is_text) {
            return Err(Malformed);
        }
        if !Field::is_barred_from_trailers(name) {
            passed.extend_from_slice(line);
            passed.extend_from_slice(b"\r\n");
        }
    }
    if !passed.is_empty() {
        passed.extend_from_slice(b"\r\n");
    }
    Ok(passed)
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn is_text(byte: u8) -> bool {
    byte == b'\t' || (b' '..=0x7e).contains(&byte) || byte >= 0x80
}
