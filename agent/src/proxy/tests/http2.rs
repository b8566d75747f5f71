//! HTTP/2 on either side of the proxy, over real sockets.

mod breaks;
mod calls;
mod life;
mod old_clients;
mod old_services;
mod peers;
mod streams;
