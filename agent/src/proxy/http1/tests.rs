//! Heads and bodies, byte by byte.
