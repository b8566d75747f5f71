use std::path::Path;
use std::time::Duration;

use http::Method;
use ridealong_common::block::{Block, Cell, CheckedBlock};
use ridealong_common::ids::{EventId, ProducerId};
use ridealong_common::rows::Resource;
use ridealong_common::settings::FromSetting;
use ridealong_common::table::{Table, request_summaries, requests};

use super::*;
use crate::pattern::Pattern;
use crate::privacy::{HeaderName, PrivacySettings, Salt};
use crate::spool::SpoolOptions;

struct Sandbox {
    recording: Recording,
    recorder: Recorder,
    _folder: tempfile::TempDir,
}

impl Sandbox {
    fn new(privacy: PrivacySettings, sampling: Sampling) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let books = Arc::new(Books::default());
        let spool = spool(folder.path(), &books);
        let recording = Recording {
            spool,
            books,
            routes: Arc::new(RouteTable::new(Vec::new())),
            privacy: Arc::new(Privacy::new(privacy, Salt::draw())),
            sampling: SamplingHandle::new(sampling),
        };
        Self { recorder: Recorder::new(&recording), recording, _folder: folder }
    }

    /// What the spool hands out of everything recorded, by table.
    async fn blocks(&self, table: Table) -> Vec<CheckedBlock> {
        self.recorder.tick();
        let spool = &self.recording.spool;
        spool.commit().await;
        let mut blocks = Vec::new();
        while let Some(parcel) = spool.next(1 << 20).await {
            let rows = parcel.rows();
            for chunk in parcel.chunks.iter().filter(|chunk| chunk.table == table) {
                blocks.push(Block::decode(&chunk.block).expect("decodes").check(table).expect("valid"));
            }
            spool.acknowledge(parcel.keys, rows).await;
        }
        blocks
    }
}

fn spool(folder: &Path, books: &Arc<Books>) -> Spool {
    let options = SpoolOptions {
        folder: folder.into(),
        bytes_max: 64 << 20,
        producer: ProducerId::draw(),
        resource: Resource { service: "shop".into(), ..Resource::default() },
    };
    Spool::open(options, Arc::clone(books), Arc::default()).expect("a spool")
}

fn exchange(number: u64) -> Exchange {
    let event_id = EventId::from_u128(0x0199_0000_0000_7abc_8123_4567_0000_0000 + u128::from(number));
    Exchange {
        status: Some(200),
        duration_us: 1_000 + number,
        ttfb_us: Some(900),
        request_complete_us: Some(10),
        upstream_connected_us: Some(20),
        response_complete_us: Some(950),
        overhead_us: Some(30),
        request_bytes: 1,
        response_bytes: 2,
        ..Exchange::begun(event_id, 1_700_000_000_000_000, Method::GET, format!("/users/{number}"), "HTTP/1.1")
    }
}

fn full(number: u64) -> Exchange {
    Exchange {
        path: "/users/ann@example.com/orders".into(),
        query: Some("page=2&token=canary".into()),
        client: Some([192, 0, 2, 77].into()),
        grpc_status: Some(5),
        do_not_track: Some(true),
        global_privacy_control: Some(false),
        headers: vec![("user-agent", "curl/8".into()), ("accept-language", "de".into())],
        ..exchange(number)
    }
}

fn sum(blocks: &[CheckedBlock], id: u16) -> i64 {
    blocks.iter().flat_map(|block| block.integers(id)).flatten().sum()
}

#[tokio::test]
async fn a_row_holds_every_mark_and_what_may_be_kept() {
    let settings = PrivacySettings {
        record_query: vec!["page".into()],
        record_headers: ["user-agent", "accept-language"]
            .map(|it| HeaderName::from_setting(it).expect("a name"))
            .into(),
        redact: vec![Pattern::from_setting("/secret/{name}").expect("a pattern")],
        ..PrivacySettings::default()
    };
    let sandbox = Sandbox::new(settings, Sampling::default());
    sandbox.recorder.record(full(1));
    let blocks = sandbox.blocks(Table::Requests).await;
    for (column, expected) in [
        (requests::ROUTE, Cell::Text("/users/{email}/orders")),
        (requests::PATH, Cell::Text("/users/{email}/orders")),
        (requests::METHOD, Cell::Text("GET")),
        (requests::QUERY, Cell::Text("page=2")),
        (requests::REQUEST_COMPLETE_US, Cell::Integer(10)),
        (requests::UPSTREAM_CONNECTED_US, Cell::Integer(20)),
        (requests::RESPONSE_COMPLETE_US, Cell::Integer(950)),
        (requests::GRPC_STATUS, Cell::Integer(5)),
        (requests::CLIENT_ADDRESS, Cell::Text("192.0.2.0")),
        (requests::USER_AGENT, Cell::Text("curl/8")),
        (requests::HEADERS, Cell::Text(r#"{"accept-language":"de"}"#)),
        (requests::DNT, Cell::Integer(1)),
        (requests::SEC_GPC, Cell::Integer(0)),
        (requests::SAMPLE_WEIGHT, Cell::Float(1.0)),
    ] {
        assert_eq!(blocks[0].cell(0, column), expected, "column {column}");
    }
}

#[tokio::test]
async fn what_is_sampled_out_is_counted_and_the_books_balance() {
    const COUNT: u64 = 20_000;
    let sandbox = Sandbox::new(PrivacySettings::default(), Sampling { rate: 0.1, ..Sampling::default() });
    for number in 0..COUNT {
        let error = number % 100 == 0;
        sandbox.recorder.record(Exchange { status: Some(if error { 500 } else { 200 }), ..exchange(number) });
    }
    let exchanges = {
        sandbox.recorder.tick();
        sandbox.recording.books.exchanges()
    };
    assert_eq!((exchanges.count, exchanges.errors, exchanges.overhead.count()), (COUNT, 200, COUNT));
    let kept = COUNT - exchanges.sampled_out;
    assert!((1_980..2_440).contains(&kept), "{kept}");

    sandbox.recording.spool.commit().await;
    let produced = sandbox.recording.books.snapshot().produced;
    let blocks = sandbox.blocks(Table::RequestSummaries).await;
    assert_eq!(sum(&blocks, request_summaries::COUNT), COUNT as i64);
    assert_eq!(sum(&blocks, request_summaries::ERROR_COUNT), 200);
    let books = sandbox.recording.books.snapshot();
    assert_eq!((books.acknowledged, books.pending), (produced, 0));
    let summaries: usize = blocks.iter().map(CheckedBlock::rows).sum();
    assert_eq!(books.acknowledged, kept + summaries as u64);
}

#[tokio::test]
async fn a_change_of_sampling_holds_after_a_tick() {
    let sandbox = Sandbox::new(PrivacySettings::default(), Sampling::default());
    sandbox.recording.sampling.set(Sampling { rate: 0.0, slow: Duration::from_micros(1_500) });
    sandbox.recorder.record(exchange(1));
    sandbox.recorder.tick();
    sandbox.recorder.record(exchange(2));
    sandbox.recorder.record(exchange(600));
    let rows: usize = sandbox.blocks(Table::Requests).await.iter().map(CheckedBlock::rows).sum();
    assert_eq!(rows, 2, "the one before, and the slow one after");
}
