//! What is acknowledged is on the disk: by the order of system calls, on a full disk, in a damaged log, and when a start is
//! killed while it replays.

#![allow(clippy::print_stdout, reason = "what a test saw, or why it did not run, is shown with it")]

mod full_disk;
mod order;
mod replay;
mod salvage;
