//! Where syncs wait when a test holds them.

use parking_lot::{Condvar, Mutex};

#[derive(Default)]
pub(super) struct Gate {
    state: Mutex<GateState>,
    changed: Condvar,
}

#[derive(Default)]
struct GateState {
    is_closed: bool,
    passes: u32,
    held: u32,
}

impl Gate {
    pub fn close(&self) {
        self.state.lock().is_closed = true;
    }

    pub fn open(&self) {
        let mut gate = self.state.lock();
        (gate.is_closed, gate.held, gate.passes) = (false, 0, 0);
        self.changed.notify_all();
    }

    pub fn until_held(&self) {
        let mut gate = self.state.lock();
        while gate.held == 0 {
            self.changed.wait(&mut gate);
        }
    }

    pub fn pass_one(&self) {
        let mut gate = self.state.lock();
        gate.passes += 1;
        gate.held -= 1;
        self.changed.notify_all();
    }

    /// Waits while the gate is closed and nobody lets this one pass.
    pub fn pass(&self) {
        let mut gate = self.state.lock();
        if gate.is_closed {
            gate.held += 1;
            self.changed.notify_all();
            while gate.is_closed && gate.passes == 0 {
                self.changed.wait(&mut gate);
            }
            gate.passes = gate.passes.saturating_sub(1);
        }
    }
}
