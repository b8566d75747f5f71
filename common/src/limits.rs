//! The limits that both sides of a wire or a disk rely on, with what each is for.

/// Rows of one block. A spool value of 16 KiB holds far fewer; this bounds what a forged count can make us allocate.
pub const BLOCK_ROWS_MAX: u32 = 65_536;
/// One block, encoded and not compressed. Decoding can take up to 24 times as much memory (an empty text is one byte
/// there and 24 here), so this is what bounds a forged block.
pub const BLOCK_BYTES_MAX: usize = 2 << 20;
/// Columns of one block: more than any table has, so that a newer sender may add some.
pub const BLOCK_COLUMNS_MAX: usize = 256;
/// Chunks in one frame.
pub const FRAME_CHUNKS_MAX: usize = 4_096;
/// A frame as it travels: larger is answered 413, and the sender splits it.
pub const FRAME_BYTES_MAX: usize = 8 << 20;
/// A frame's body once expanded: what a small malicious frame can make the receiver allocate.
pub const FRAME_BODY_BYTES_MAX: usize = 32 << 20;

/// One tracked event as JSON.
pub const EVENT_BYTES_MAX: usize = 256 << 10;
/// Any single text of an event but its properties.
pub const EVENT_TEXT_BYTES_MAX: usize = 8 << 10;
/// Nesting of an event's properties.
pub const EVENT_DEPTH_MAX: usize = 32;
/// Events of one `/batch-track`.
pub const BATCH_EVENTS_MAX: usize = 5_000;
/// Body of one `/batch-track`.
pub const BATCH_BYTES_MAX: usize = 8 << 20;

/// What a proxied request may bring into a row; longer texts are cut there.
pub const REQUEST_TEXT_BYTES_MAX: usize = 2 << 10;

const _: () = {
    assert!(BLOCK_BYTES_MAX <= FRAME_BODY_BYTES_MAX);
    assert!(FRAME_BYTES_MAX <= FRAME_BODY_BYTES_MAX);
    assert!(EVENT_BYTES_MAX <= BATCH_BYTES_MAX);
    // One event always fits into one block.
    assert!(EVENT_BYTES_MAX * 2 <= BLOCK_BYTES_MAX);
    assert!(BATCH_EVENTS_MAX <= BLOCK_ROWS_MAX as usize);
};
