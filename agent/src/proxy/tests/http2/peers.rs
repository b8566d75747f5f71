//! An HTTP/2 client and an HTTP/2 service, each over one socket, each able to misbehave.

use std::future::Future;
use std::net::SocketAddr;

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::server::SendResponse;
use h2::{RecvStream, SendStream};
use http::{HeaderMap, Request, Response};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::super::sandbox::{Sandbox, loopback};
use super::super::wire::PATIENCE;
use crate::proxy::{ProxyOptions, UpstreamAddress};

/// A proxy before a service that speaks HTTP/2.
pub fn before_http2(service: SocketAddr, change: impl FnOnce(&mut ProxyOptions)) -> Sandbox {
    Sandbox::start_with(service, |options| {
        options.upstream = UpstreamAddress::H2c { host: service.ip().to_string(), port: service.port() };
        change(options);
    })
}

pub struct Caller {
    pub requests: SendRequest<Bytes>,
    /// Ends with the connection.
    pub connection: JoinHandle<Result<(), h2::Error>>,
}

/// A response that came whole.
#[derive(Debug)]
pub struct Answer {
    pub head: Response<()>,
    pub body: Vec<u8>,
    pub trailers: Option<HeaderMap>,
}

impl Caller {
    pub async fn connect(address: SocketAddr) -> Self {
        Self::connect_with(address, |_| {}).await
    }

    pub async fn connect_with(address: SocketAddr, change: impl FnOnce(&mut h2::client::Builder)) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        let mut builder = h2::client::Builder::new();
        change(&mut builder);
        let (requests, connection) = builder.handshake(stream).await.unwrap();
        Self { requests, connection: tokio::spawn(connection) }
    }

    pub async fn begin(&self, request: Request<()>, ends: bool) -> (ResponseFuture, SendStream<Bytes>) {
        let mut requests = patiently(self.requests.clone().ready()).await.unwrap();
        requests.send_request(request, ends).unwrap()
    }

    /// Sends it all and reads it all.
    pub async fn call(&self, request: Request<()>, body: &[u8]) -> Result<Answer, h2::Error> {
        let (response, mut sending) = self.begin(request, body.is_empty()).await;
        if !body.is_empty() {
            send(&mut sending, body, true).await?;
        }
        answer(response).await
    }
}

pub async fn patiently<T>(future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.expect("the peer does its part")
}

pub fn get(path: &str) -> Request<()> {
    Request::get(format!("http://service.test{path}")).body(()).unwrap()
}

pub fn grpc(path: &str) -> Request<()> {
    let request = Request::post(format!("http://service.test{path}"));
    request.header("content-type", "application/grpc").header("te", "trailers").body(()).unwrap()
}

/// Sends as the window allows.
pub async fn send(sending: &mut SendStream<Bytes>, bytes: &[u8], last: bool) -> Result<(), h2::Error> {
    let mut bytes = Bytes::copy_from_slice(bytes);
    while !bytes.is_empty() {
        sending.reserve_capacity(bytes.len());
        let room = patiently(std::future::poll_fn(|context| sending.poll_capacity(context))).await;
        let piece = bytes.split_to(room.expect("a stream that is open")?.min(bytes.len()));
        sending.send_data(piece, last && bytes.is_empty())?;
    }
    Ok(())
}

pub async fn answer(response: ResponseFuture) -> Result<Answer, h2::Error> {
    let (head, mut body) = patiently(response).await?.into_parts();
    let (body, trailers) = read(&mut body).await?;
    Ok(Answer { head: Response::from_parts(head, ()), body, trailers })
}

/// Reads to the end.
pub async fn read(body: &mut RecvStream) -> Result<(Vec<u8>, Option<HeaderMap>), h2::Error> {
    let mut bytes = Vec::new();
    while let Some(piece) = patiently(body.data()).await {
        let piece = piece?;
        body.flow_control().release_capacity(piece.len()).unwrap();
        bytes.extend_from_slice(&piece);
    }
    Ok((bytes, patiently(body.trailers()).await?))
}

/// A service that runs `serve` for each request of each connection.
pub async fn http2_service<F>(
    serve: impl Fn(Request<RecvStream>, SendResponse<Bytes>) -> F + Clone + Send + 'static,
) -> SocketAddr
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind(loopback()).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let serve = serve.clone();
            tokio::spawn(async move {
                let Ok(mut connection) = h2::server::handshake(stream).await else { return };
                while let Some(Ok((request, respond))) = connection.accept().await {
                    tokio::spawn(serve(request, respond));
                }
            });
        }
    });
    address
}

/// Answers like a gRPC server that echoes one message.
pub async fn echo(request: Request<RecvStream>, mut respond: SendResponse<Bytes>) {
    let (head, mut body) = request.into_parts();
    let (bytes, trailers) = read(&mut body).await.unwrap();
    let mut response = Response::builder().header("content-type", "application/grpc");
    response = response.header("x-authority", head.uri.authority().unwrap().as_str());
    for name in ["x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-request-id", "te", "cookie"] {
        for value in head.headers.get_all(name) {
            response = response.header(format!("x-saw-{name}"), value);
        }
    }
    let mut sending = respond.send_response(response.body(()).unwrap(), false).unwrap();
    send(&mut sending, &bytes, false).await.unwrap();
    let mut trailers = trailers.unwrap_or_default();
    trailers.insert("grpc-status", "0".parse().unwrap());
    sending.send_trailers(trailers).unwrap();
}
