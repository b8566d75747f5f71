//! Threads that work in the background of the proxy's.

/// Of 19: enough that a proxy thread that wakes up on the same processor goes first, not so much that one which is busy for
/// good keeps rows from the disk.
const NICENESS: libc::c_int = 5;

/// Lets the thread that calls it stand back behind the proxy's. Refused nowhere, since it only asks for less.
#[allow(unsafe_code, reason = "the C library's call has no safe form here; it takes two numbers and touches no memory")]
pub fn stand_back() {
    // SAFETY: plain numbers in, a number out. On Linux, 0 means the thread that calls.
    let done = unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, NICENESS) };
    if done != 0 {
        tracing::debug!(error = %std::io::Error::last_os_error(), "could not lower a thread's priority");
    }
}
