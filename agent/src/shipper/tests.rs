use std::collections::VecDeque;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::routing::post;
use bytes::Bytes;
use ridealong_common::event::{Defaults, TrackedEvent};
use ridealong_common::ids::ProducerId;
use ridealong_common::rows::Resource;
use serde_json::json;

use super::*;
use crate::books::{Books, reason};
use crate::spool::SpoolOptions;

/// Answers that an aggregator gives, one after the other; then 200 for ever.
#[derive(Clone, Default)]
struct Aggregator {
    answers: Arc<Mutex<VecDeque<u16>>>,
    taken: Arc<Mutex<Vec<Frame>>>,
    seen: Arc<Mutex<Vec<usize>>>,
}

async fn take(State(aggregator): State<Aggregator>, headers: HeaderMap, body: Bytes) -> axum::http::StatusCode {
    assert_eq!(headers[CONTENT_TYPE], MEDIA_TYPE);
    let frame = Frame::decode(&body).expect("a frame");
    aggregator.seen.lock().push(frame.chunks.len());
    let answer = aggregator.answers.lock().pop_front().unwrap_or(200);
    if answer == 200 {
        aggregator.taken.lock().push(frame);
    }
    axum::http::StatusCode::from_u16(answer).expect("a status")
}

struct Sandbox {
    folder: tempfile::TempDir,
    spool: Spool,
    books: Arc<Books>,
    aggregator: Aggregator,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

impl Sandbox {
    async fn start(answers: &[u16], events: usize) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let books = Arc::new(Books::default());
        let options = SpoolOptions {
            folder: folder.path().join("spool"),
            bytes_max: 16 << 20,
            producer: ProducerId::draw(),
            resource: Resource::default(),
        };
        let spool = Spool::open(options, Arc::clone(&books), Arc::default()).expect("a spool");
        for number in 0..events {
            let value = json!({ "eventType": "order", "eventId": number.to_string() });
            let event = TrackedEvent::from_json(&value, &Defaults::default(), Timestamp(0)).expect("an event");
            spool.append(vec![event]).await.expect("spooled");
        }
        let aggregator =
            Aggregator { answers: Arc::new(Mutex::new(answers.iter().copied().collect())), ..Default::default() };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = Url::parse(&format!("http://{}", listener.local_addr().expect("an address"))).expect("a URL");
        let app = axum::Router::new().route("/v1/batches", post(take)).with_state(aggregator.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        let shipper = Shipper::new(spool.clone(), &url, folder.path().join("refused")).expect("a shipper");
        let stop = CancellationToken::new();
        let task = tokio::spawn(shipper.run(stop.clone()));
        Self { folder, spool, books, aggregator, stop, task }
    }

    async fn until_nothing_is_pending(&self) {
        let waiting = async {
            while self.books.snapshot().pending > 0 {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), waiting).await.expect("delivered");
    }

    async fn end(self) {
        self.stop.cancel();
        self.task.await.expect("no panic");
        self.spool.close();
    }

    fn taken_rows(&self) -> u32 {
        self.aggregator.taken.lock().iter().flat_map(|frame| &frame.chunks).map(|chunk| chunk.count).sum()
    }
}

#[tokio::test]
async fn what_the_aggregator_takes_is_forgotten_by_the_spool() {
    let sandbox = Sandbox::start(&[], 5).await;
    sandbox.until_nothing_is_pending().await;
    assert_eq!((sandbox.taken_rows(), sandbox.books.snapshot().acknowledged), (5, 5));
    assert!(sandbox.spool.next(1 << 20).await.is_none());
    sandbox.end().await;
}

#[tokio::test]
async fn passing_failures_are_tried_again_until_they_pass() {
    let sandbox = Sandbox::start(&[503, 500, 429, 401, 404, 503], 3).await;
    sandbox.until_nothing_is_pending().await;
    assert_eq!(sandbox.taken_rows(), 3);
    assert!(sandbox.books.snapshot().dropped.is_empty());
    sandbox.end().await;
}

#[tokio::test]
async fn a_batch_that_is_refused_for_ever_is_put_aside_and_counted() {
    let sandbox = Sandbox::start(&[400], 4).await;
    sandbox.until_nothing_is_pending().await;
    let refused = sandbox.books.snapshot().dropped[reason::REFUSED];
    assert_eq!(u64::from(sandbox.taken_rows()) + refused, 4);
    assert!(refused > 0);
    assert_eq!(std::fs::read_dir(sandbox.folder.path().join("refused")).expect("listed").count(), 1);
    sandbox.end().await;
}

#[tokio::test]
async fn a_batch_that_is_too_large_is_sent_in_parts() {
    let sandbox = Sandbox::start(&[503, 413, 413], 6).await;
    sandbox.until_nothing_is_pending().await;
    assert_eq!(sandbox.taken_rows(), 6);
    sandbox.end().await;
}
