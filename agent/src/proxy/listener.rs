//! One listening socket for each thread, all on the same address: the kernel spreads connections over them.

use std::io;
use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};

/// Connections that the kernel keeps for a thread until it takes them.
const BACKLOG: i32 = 1024;

pub(super) struct Listeners {
    pub(super) address: SocketAddr,
    pub(super) sockets: Vec<TcpListener>,
}

/// Binds `count` sockets. With port 0 the first one's port serves for all.
pub(super) fn bind(address: SocketAddr, count: usize) -> io::Result<Listeners> {
    fail_if_taken(address)?;
    let first = bind_one(address)?;
    let address = first.local_addr()?;
    let mut sockets = vec![first];
    for _ in 1..count {
        sockets.push(bind_one(address)?);
    }
    Ok(Listeners { address, sockets })
}

/// Sockets that share a port would also share it with another agent, which would then take half of the connections in
/// silence. A socket that does not share it finds out.
fn fail_if_taken(address: SocketAddr) -> io::Result<()> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())
}

fn bind_one(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    // Inherited by each connection, which saves a system call for it.
    socket.set_tcp_nodelay(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_do_not_wait_for_more_to_send() {
        let ours = bind(SocketAddr::from(([127, 0, 0, 1], 0)), 1).expect("a port");
        let _client = std::net::TcpStream::connect(ours.address).expect("a connection");
        ours.sockets[0].set_nonblocking(false).expect("a socket that waits");
        let (accepted, _) = ours.sockets[0].accept().expect("the same connection");
        assert!(accepted.nodelay().expect("an option"));
    }

    #[test]
    fn a_port_is_shared_by_our_own_threads_only() {
        let ours = bind(SocketAddr::from(([127, 0, 0, 1], 0)), 2).expect("a port");
        assert_eq!(ours.sockets.len(), 2);
        let error = bind(ours.address, 2).err().expect("taken");
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        drop(ours.sockets);
        assert!(bind(ours.address, 2).is_ok());
    }
}
