//! Why something was not taken. Each variant says whose fault it is; the API gives it a status, the sender its next step.

use ridealong_common::block::BlockError;
use ridealong_common::frame::FrameError;
use ridealong_wal::AppendError;
use thiserror::Error;

#[derive(Debug, Error)]
pub enum Refusal {
    /// The sender's fault and for ever: the same bytes will be refused again.
    #[error("the batch cannot be read: {0}")]
    Frame(#[from] FrameError),
    #[error("chunk {at} of the batch cannot be read: {source}")]
    Block { at: usize, source: BlockError },
    /// Nobody's fault: try again later, the same bytes.
    #[error("too much is being taken at this moment")]
    Busy,
    /// Ours: try again later, the same bytes; they are stored once, whatever happened.
    #[error("it could not be made durable: {0}")]
    NotDurable(AppendError),
}

impl Refusal {
    /// A short, stable word for counting.
    pub fn reason(&self) -> &'static str {
        match self {
            Refusal::Frame(FrameError::TooLarge(_)) => "too_large",
            Refusal::Frame(FrameError::Version(_)) => "version",
            Refusal::Frame(_) | Refusal::Block { .. } => "malformed",
            Refusal::Busy => "busy",
            Refusal::NotDurable(_) => "not_durable",
        }
    }
}

impl From<AppendError> for Refusal {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::Busy => Refusal::Busy,
            other => Refusal::NotDurable(other),
        }
    }
}
