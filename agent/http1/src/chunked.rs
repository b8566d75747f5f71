//! Following a chunked body (RFC 9112, 7.1) without taking it apart: the scanner says of each run of bytes whether it is
//! data, framing to be passed on, or an extension to be left out. A number, a line end or an extension that is not exactly
//! of the grammar ends it: readers disagree about those, and that is how requests are smuggled.

use super::field::Field;

/// Of the extensions of one body, which carry nothing that anyone uses.
const EXTENSION_BYTES_MAX: u32 = 16 * 1024;
const TRAILER_BYTES_MAX: usize = 16 * 1024;
const SIZE_DIGITS_MAX: u8 = 15;

/// Not a body as announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// What the next bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Run {
    Data(usize),
    Framing(usize),
    Extension(usize),
    /// Part of the trailer section, now in [`Chunked::take_trailers`] if the section is complete.
    Trailers(usize),
}

#[derive(Debug)]
pub struct Chunked {
    state: State,
    size: u64,
    digits: u8,
    extension_bytes: u32,
    trailers: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Size,
    Extension(Extension),
    SizeLf,
    Data,
    DataCr,
    DataLf,
    /// At the start of the trailer section, of which nothing is kept yet.
    End,
    EndLf,
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
        Self { state: State::Size, size: 0, digits: 0, extension_bytes: 0, trailers: Vec::new() }
    }

    pub(super) fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// The trailer section without what may not be in it, with its empty line; once, after the run that ended it.
    pub(super) fn take_trailers(&mut self) -> Option<Vec<u8>> {
        (self.is_done() && !self.trailers.is_empty()).then(|| std::mem::take(&mut self.trailers))
    }

    /// The longest run of one kind at the start of `bytes`, which must not be empty.
    pub(super) fn scan(&mut self, bytes: &[u8]) -> Result<Run, Malformed> {
        match self.state {
            State::Data => {
                let length = usize::try_from(self.size).unwrap_or(usize::MAX).min(bytes.len());
                self.size -= length as u64;
                if self.size == 0 {
                    self.state = State::DataCr;
                }
                Ok(Run::Data(length))
            }
            State::Extension(_) => self.extension(bytes),
            State::Trailers => self.trailers(bytes),
            State::Done => Err(Malformed),
            State::Size | State::SizeLf | State::DataCr | State::DataLf | State::End | State::EndLf => {
                self.framing(bytes)
            }
        }
    }

    fn framing(&mut self, bytes: &[u8]) -> Result<Run, Malformed> {
        for (at, byte) in bytes.iter().enumerate() {
            self.state = match (self.state, *byte) {
                (State::Size, byte) if byte.is_ascii_hexdigit() => {
                    self.digit(byte)?;
                    State::Size
                }
                (State::Size, b'\r') if self.digits > 0 => State::SizeLf,
                (State::Size, b';' | b' ' | b'\t') if self.digits > 0 => {
                    self.state = State::Extension(Extension::Before);
                    return if at == 0 { self.extension(bytes) } else { Ok(Run::Framing(at)) };
                }
                (State::SizeLf, b'\n') if self.size == 0 => State::End,
                (State::SizeLf, b'\n') => State::Data,
                (State::DataCr, b'\r') => State::DataLf,
                (State::DataLf, b'\n') => {
                    self.digits = 0;
                    State::Size
                }
                (State::End, b'\r') => State::EndLf,
                (State::EndLf, b'\n') => State::Done,
                (State::End, _) => {
                    self.state = State::Trailers;
                    return if at == 0 { self.trailers(bytes) } else { Ok(Run::Framing(at)) };
                }
                _ => return Err(Malformed),
            };
            if matches!(self.state, State::Data | State::Done) {
                return Ok(Run::Framing(at + 1));
            }
        }
        Ok(Run::Framing(bytes.len()))
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

    fn extension(&mut self, bytes: &[u8]) -> Result<Run, Malformed> {
        for (at, byte) in bytes.iter().enumerate() {
            let State::Extension(state) = self.state else { return Err(Malformed) };
            if *byte == b'\r' && state.may_end() {
                self.state = State::Size;
                self.count_extension(at)?;
                return if at == 0 { self.framing(bytes) } else { Ok(Run::Extension(at)) };
            }
            self.state = State::Extension(state.next(*byte)?);
        }
        self.count_extension(bytes.len())?;
        Ok(Run::Extension(bytes.len()))
    }

    fn count_extension(&mut self, bytes: usize) -> Result<(), Malformed> {
        self.extension_bytes = self.extension_bytes.saturating_add(u32::try_from(bytes).unwrap_or(u32::MAX));
        if self.extension_bytes > EXTENSION_BYTES_MAX { Err(Malformed) } else { Ok(()) }
    }

    /// Collects the section, since a line can only be judged whole.
    fn trailers(&mut self, bytes: &[u8]) -> Result<Run, Malformed> {
        for (at, byte) in bytes.iter().enumerate() {
            self.trailers.push(*byte);
            if self.trailers.len() > TRAILER_BYTES_MAX {
                return Err(Malformed);
            }
            if *byte == b'\n' && self.trailers.ends_with(b"\r\n\r\n") {
                self.trailers = passed_trailers(&self.trailers)?;
                self.state = State::Done;
                return Ok(Run::Trailers(at + 1));
            }
        }
        Ok(Run::Trailers(bytes.len()))
    }
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

/// The lines that may pass, with the empty line at the end.
fn passed_trailers(section: &[u8]) -> Result<Vec<u8>, Malformed> {
    let mut passed = Vec::with_capacity(section.len());
    let lines = section.strip_suffix(b"\r\n\r\n").ok_or(Malformed)?;
    for line in lines.split(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
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
    // Every line but the last ended in CRLF, or a bare LF was in it.
    if memchr::memchr_iter(b'\n', section).any(|at| at == 0 || section[at - 1] != b'\r') {
        return Err(Malformed);
    }
    passed.extend_from_slice(b"\r\n");
    Ok(passed)
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn is_text(byte: u8) -> bool {
    byte == b'\t' || (b' '..=0x7e).contains(&byte) || byte >= 0x80
}
