//! HTTP/2 on either side of the proxy, over real sockets.

mod calls;
mod peers;
