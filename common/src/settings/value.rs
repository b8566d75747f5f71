//! The values that settings take: how each is written.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Reads a value as a person writes it. The error completes the sentence "`VALUE` …".
pub trait FromSetting: Sized {
    fn from_setting(text: &str) -> Result<Self, String>;
}

/// A number of bytes: `512`, `64KiB`, `10MB`, `1GiB`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

impl ByteSize {
    pub const fn mebibytes(count: u64) -> Self {
        Self(count << 20)
    }

    pub const fn bytes(self) -> u64 {
        self.0
    }
}

/// Several values in one text, with commas between; an empty text is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct List<T>(pub Vec<T>);

impl<T: FromSetting> FromSetting for List<T> {
    fn from_setting(text: &str) -> Result<Self, String> {
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        let read = parts.map(|part| T::from_setting(part).map_err(|problem| format!("{problem} ({part:?})")));
        read.collect::<Result<_, _>>().map(Self)
    }
}

impl FromSetting for String {
    fn from_setting(text: &str) -> Result<Self, String> {
        if text.is_empty() { Err("must not be empty".into()) } else { Ok(text.to_owned()) }
    }
}

impl FromSetting for PathBuf {
    fn from_setting(text: &str) -> Result<Self, String> {
        String::from_setting(text).map(PathBuf::from)
    }
}

impl FromSetting for bool {
    fn from_setting(text: &str) -> Result<Self, String> {
        text.parse().map_err(|_| "must be true or false".into())
    }
}

impl FromSetting for u64 {
    fn from_setting(text: &str) -> Result<Self, String> {
        text.parse().map_err(|_| "must be a whole number".into())
    }
}

impl FromSetting for f64 {
    fn from_setting(text: &str) -> Result<Self, String> {
        let number = text.parse::<f64>().ok().filter(|number| number.is_finite());
        number.ok_or_else(|| "must be a number".into())
    }
}

impl FromSetting for SocketAddr {
    fn from_setting(text: &str) -> Result<Self, String> {
        text.parse().map_err(|_| "must be an address and a port, for example 127.0.0.1:8080 or [::1]:8080".into())
    }
}

impl FromSetting for Duration {
    fn from_setting(text: &str) -> Result<Self, String> {
        let problem = || "must be a duration, for example 250ms, 5s, 15m, 2h or 7d".to_owned();
        let (number, unit) = split_unit(text);
        let seconds = match unit {
            "us" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3_600.0,
            "d" => 86_400.0,
            _ => return Err(problem()),
        };
        let number: f64 = number.parse().map_err(|_| problem())?;
        Duration::try_from_secs_f64(number * seconds).map_err(|_| problem())
    }
}

impl FromSetting for ByteSize {
    fn from_setting(text: &str) -> Result<Self, String> {
        let problem = || "must be a size, for example 64KiB, 256MiB or 1GiB".to_owned();
        let (number, unit) = split_unit(text);
        let factor: u64 = match unit {
            "" | "B" => 1,
            "kB" | "KB" => 1_000,
            "MB" => 1_000_000,
            "GB" => 1_000_000_000,
            "TB" => 1_000_000_000_000,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            "TiB" => 1 << 40,
            _ => return Err(problem()),
        };
        let number: f64 = number.parse().map_err(|_| problem())?;
        let bytes = number * factor as f64;
        if (0.0..=9e18).contains(&bytes) { Ok(Self(bytes as u64)) } else { Err(problem()) }
    }
}

fn split_unit(text: &str) -> (&str, &str) {
    let text = text.trim();
    let at = text.find(|letter: char| letter.is_ascii_alphabetic()).unwrap_or(text.len());
    (text[..at].trim_end(), &text[at..])
}
