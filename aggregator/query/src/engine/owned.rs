//! Who owns work that somebody waits for, and where it is let go of.

use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use crate::limits::{Permit, Why};

/// Ends the task when nobody waits for it any more.
pub(super) struct AbortOnDrop<T>(pub JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Revokes the permit, unless it was taken out.
pub(super) struct Leaving(pub Option<Arc<Permit>>);

impl Drop for Leaving {
    fn drop(&mut self) {
        if let Some(permit) = self.0.take() {
            permit.revoke(Why::Left);
        }
    }
}

/// What recurses when it is dropped, as plans do: that happens where stacks are large.
pub(super) struct OnItsThreads<T: Send + 'static> {
    value: Option<T>,
    handle: Handle,
}

impl<T: Send + 'static> OnItsThreads<T> {
    pub fn new(value: T, handle: Handle) -> Self {
        Self { value: Some(value), handle }
    }

    pub fn with<R>(&self, look: impl FnOnce(&T) -> R) -> Option<R> {
        self.value.as_ref().map(look)
    }

    pub fn into_value(mut self) -> Option<T> {
        self.value.take()
    }
}

impl<T: Send + 'static> Drop for OnItsThreads<T> {
    fn drop(&mut self) {
        if let Some(value) = self.value.take() {
            self.handle.spawn(async move { drop(value) });
        }
    }
}
