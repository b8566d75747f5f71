//! Random lives of a log on a disk that forgets and fails, against the model.
//!
//! Groups are made by hand: the first entry of a batch is held in its sync until the others are queued, so a run depends
//! on its seed alone.

#![allow(clippy::unwrap_used, reason = "tests")]

use bytes::Bytes;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use ridealong_common::ids::EventId;
use ridealong_common::table::Table;
use tokio::sync::oneshot;

use super::model::Model;
use crate::disk::memory::{Faults, MemoryDisk};
use crate::queue::{Answer, AppendError};
use crate::release::checkpoint;
use crate::testing::{entries, open, producer, wait};
use crate::{NewEntry, Numbers, RowCounts, TenantBooks, Wal};

#[derive(Clone, Debug)]
enum Step {
    Append(Vec<Spec>),
    /// The same while calls fail.
    AppendWithFaults(Vec<Spec>, Faults),
    /// The same while there is room for so many bytes more.
    AppendWithLittleRoom(Vec<Spec>, u64),
    Checkpoint,
    CheckpointWithFaults(Faults),
    /// The machine dies within so many calls of writing a checkpoint and letting go of some of the log.
    CheckpointAndDie {
        calls: u64,
        released: u64,
        seed: u64,
    },
    /// The power goes while the batch is being written.
    AppendAndLosePower(Vec<Spec>, u64),
    LosePower(u64),
    /// An orderly end and a new start.
    Reopen,
    /// Of what is durable, in 16ths.
    Release(u64),
    ReleaseWithFaults(u64, Faults),
}

#[derive(Clone, Debug)]
struct Spec {
    tenant: bool,
    events: bool,
    producer: u8,
    first: u64,
    rows: u32,
    ids: Option<u128>,
    other_content: bool,
    announced: u64,
    payload_bytes: usize,
    /// Bit by bit the first rows that are set aside.
    quarantined: u8,
}

fn spec() -> impl Strategy<Value = Spec> {
    let ids = prop::option::of(0_u128..60);
    (
        any::<bool>(),
        any::<bool>(),
        0_u8..4,
        0_u64..50,
        1_u32..7,
        ids,
        prop::bool::weighted(0.1),
        0_u64..80,
        (0_usize..400, prop_oneof![3 => Just(0_u8), 1 => any::<u8>()]),
    )
        .prop_map(
            |(tenant, events, producer, first, rows, ids, other_content, announced, (payload_bytes, quarantined))| {
                Spec {
                    tenant,
                    events,
                    producer,
                    first,
                    rows,
                    ids,
                    other_content,
                    announced,
                    payload_bytes,
                    quarantined,
                }
            },
        )
}

fn faults() -> impl Strategy<Value = Faults> {
    let few = || prop_oneof![3 => Just(0_u32), 1 => 1_u32..4];
    let calls = (few(), 0_usize..900, few(), few(), few(), few(), few(), few(), any::<bool>());
    calls.prop_map(|(writes, write_keeps, syncs, truncates, creates, renames, folder_syncs, removes, is_full)| Faults {
        writes,
        write_keeps,
        syncs,
        truncates,
        creates,
        renames,
        folder_syncs,
        removes,
        is_full,
    })
}

fn step() -> impl Strategy<Value = Step> {
    let batch = || prop::collection::vec(spec(), 1..7);
    prop_oneof![
        6 => batch().prop_map(Step::Append),
        3 => (batch(), faults()).prop_map(|(batch, faults)| Step::AppendWithFaults(batch, faults)),
        1 => (batch(), 0_u64..1_500).prop_map(|(batch, room)| Step::AppendWithLittleRoom(batch, room)),
        1 => Just(Step::Checkpoint),
        1 => faults().prop_map(Step::CheckpointWithFaults),
        1 => (0_u64..20, 0_u64..=16, any::<u64>())
            .prop_map(|(calls, released, seed)| Step::CheckpointAndDie { calls, released, seed }),
        3 => (batch(), any::<u64>()).prop_map(|(batch, seed)| Step::AppendAndLosePower(batch, seed)),
        1 => any::<u64>().prop_map(Step::LosePower),
        1 => Just(Step::Reopen),
        2 => (0_u64..=16).prop_map(Step::Release),
        1 => (0_u64..=16, faults()).prop_map(|(part, faults)| Step::ReleaseWithFaults(part, faults)),
    ]
}

struct Life {
    disk: MemoryDisk,
    wal: Wal,
    model: Model,
    /// Entries of the last group that was written and not acknowledged: a start may find the first few of them.
    maybe: Vec<NewEntry>,
    /// The group that was under way when the power went; if a repair was, what `maybe` has may still be found instead.
    under_way: Vec<NewEntry>,
    released: u64,
    made: u64,
    /// The books of both tenants at moments of this start.
    history: Vec<[TenantBooks; 2]>,
}

impl Life {
    fn new() -> Self {
        let disk = MemoryDisk::default();
        let (wal, _) = open(&disk);
        Self {
            disk,
            wal,
            model: Model::default(),
            maybe: Vec::new(),
            under_way: Vec::new(),
            released: 0,
            made: 0,
            history: Vec::new(),
        }
    }

    fn live(&mut self, step: Step) {
        match step {
            Step::Append(batch) => self.append(&batch),
            Step::AppendWithFaults(batch, faults) => self.append_with_faults(&batch, faults),
            Step::AppendWithLittleRoom(batch, room) => {
                self.disk.set_room(self.disk.bytes() + room);
                self.append_one_by_one(&batch);
                self.disk.set_room(u64::MAX);
            }
            Step::Checkpoint => checkpoint(self.wal.shared()).unwrap(),
            Step::CheckpointWithFaults(faults) => {
                self.disk.set_faults(faults);
                let _ = checkpoint(self.wal.shared());
                self.disk.set_faults(Faults::default());
            }
            Step::CheckpointAndDie { calls, released, seed } => {
                self.disk.die_after(calls);
                let _ = checkpoint(self.wal.shared());
                let _ = self.release(released);
                self.start(self.disk.after_power_loss(seed));
            }
            Step::AppendAndLosePower(batch, seed) => self.append_and_lose_power(&batch, seed),
            Step::LosePower(seed) => self.start(self.disk.after_power_loss(seed)),
            Step::Reopen => {
                self.wal.close();
                self.start(self.disk.clone());
            }
            Step::Release(part) => {
                self.release(part).unwrap();
            }
            Step::ReleaseWithFaults(part, faults) => {
                self.disk.set_faults(faults);
                let _ = self.release(part);
                self.disk.set_faults(Faults::default());
            }
        }
    }

    fn entry(&mut self, spec: &Spec) -> NewEntry {
        self.made += 1;
        let crc = spec.first as u32 + u32::from(spec.other_content);
        let numbers = Numbers { producer: producer(spec.producer), first: spec.first, crc };
        NewEntry {
            tenant: if spec.tenant { "acme" } else { "other" }.into(),
            table: if spec.events { Table::Events } else { Table::Requests },
            received_at_us: self.made as i64 * 1_000,
            numbers: (spec.producer > 0).then_some(numbers),
            announced: spec.announced,
            rows: spec.rows,
            event_ids: spec.ids.map(|first| (first..first + u128::from(spec.rows)).map(EventId::from_u128).collect()),
            quarantined_rows: (0..spec.rows).filter(|row| spec.quarantined >> row & 1 == 1).collect(),
            in_place_of_events: false,
            payload: Bytes::from([self.made.to_le_bytes().to_vec(), vec![7; spec.payload_bytes]].concat()),
        }
    }

    /// Queues a batch so that its first entry is one group, whose sync is held, and the others are the next.
    fn submit(&mut self, batch: &[Spec]) -> Vec<(NewEntry, oneshot::Receiver<Answer>)> {
        self.disk.hold_syncs();
        let mut submitted = Vec::new();
        for (place, spec) in batch.iter().enumerate() {
            let entry = self.entry(spec);
            submitted.push((entry.clone(), self.wal.submit(entry).unwrap()));
            if place == 0 {
                self.disk.until_held();
            }
        }
        submitted
    }

    fn append(&mut self, batch: &[Spec]) {
        let submitted = self.submit(batch);
        self.disk.release_syncs();
        for (entry, answer) in submitted {
            self.answered(entry, wait(answer));
        }
        assert_eq!(self.wal.durable().0, self.model.records);
    }

    /// One by one, so that each failure is of one entry.
    fn append_with_faults(&mut self, batch: &[Spec], faults: Faults) {
        self.disk.set_faults(faults);
        self.append_one_by_one(batch);
        self.disk.set_faults(Faults::default());
    }

    fn append_one_by_one(&mut self, batch: &[Spec]) {
        for spec in batch {
            let entry = self.entry(spec);
            let answer = wait(self.wal.submit(entry.clone()).unwrap());
            self.answered(entry, answer);
        }
        assert_eq!(self.wal.durable().0, self.model.records);
    }

    /// What was acknowledged is what the model says; what was not is forgotten, or may be found after a crash.
    fn answered(&mut self, entry: NewEntry, answer: Answer) {
        match answer {
            Ok(appended) => {
                self.maybe.clear();
                assert_eq!(appended, self.model.append(&entry), "{entry:?}");
            }
            Err(error) if error.may_have_happened() => self.maybe = vec![entry],
            Err(AppendError::Full { .. } | AppendError::Unavailable { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }

    /// The first entry is acknowledged, the others are one group that is written and not synced.
    fn append_and_lose_power(&mut self, batch: &[Spec], seed: u64) {
        let mut submitted = self.submit(batch);
        if batch.len() > 1 {
            let (entry, mut answer) = submitted.remove(0);
            let answer = loop {
                self.disk.until_held();
                match answer.try_recv() {
                    Ok(answer) => break answer,
                    // A new segment is synced before its first group.
                    Err(_) => self.disk.pass_one(),
                }
            };
            self.answered(entry, answer);
        }
        let found = self.disk.after_power_loss(seed);
        self.under_way = submitted.iter().map(|(entry, _)| entry.clone()).collect();
        self.disk.release_syncs();
        self.start(found);
    }

    /// The log begins again on a disk as it was found, and holds what it must and nothing else.
    fn start(&mut self, disk: MemoryDisk) {
        let (wal, report) = open(&disk);
        assert_eq!(report.log_id, self.wal.log_id());
        (self.wal, self.disk) = (wal, disk);
        // What was maybe there is there now, or is not.
        self.history.clear();
        let found = report.durable.0.checked_sub(self.model.records).expect("nothing acknowledged is lost") as usize;
        // What was cut and not synced may come back until the next append, which begins a new segment.
        let maybe = if found == 0 { self.maybe.clone() } else { std::mem::take(&mut self.maybe) };
        let groups = [maybe, std::mem::take(&mut self.under_way)];
        let lives = groups.into_iter().filter_map(|group| {
            let mut model = self.model.clone();
            group.get(..found)?.iter().for_each(|entry| drop(model.append(entry)));
            Some(model)
        });
        let books = self.wal.books();
        let last = entries(&self.wal).pop();
        let is_this = |model: &Model| model.has_tables(&books) && (last.is_none() || model.log.last() == last.as_ref());
        self.model = lives.into_iter().find(is_this).expect("what is found is what may be found");
        self.check();
    }

    fn release(&mut self, part: u64) -> Result<(), crate::ReleaseError> {
        let position = crate::Position(self.wal.durable().0 * part / 16);
        self.released = self.released.max(position.0);
        self.wal.release(position)
    }

    fn check(&mut self) {
        self.model.assert_books(&self.wal.books());
        self.check_history();
        let oldest = self.wal.oldest();
        assert!(oldest.0 <= self.released + 1, "only what was released is gone");
        let expected: Vec<_> = self.model.log.iter().filter(|entry| entry.position >= oldest).cloned().collect();
        assert_eq!(entries(&self.wal), expected);
    }
}

/// The tenants of every life.
const TENANTS: [&str; 2] = ["acme", "other"];

impl Life {
    /// The books as of an earlier moment are what they were then.
    fn check_history(&mut self) {
        for then in &self.history {
            for (tenant, then) in TENANTS.iter().zip(then) {
                let now = self.wal.tenant_books(tenant, then.position).expect("a few records ago");
                assert_eq!(comparable(now), comparable(then.clone()));
            }
        }
        let now = self.wal.durable();
        self.history.push(TENANTS.map(|tenant| self.wal.tenant_books(tenant, now).expect("of now")));
    }
}

/// Without what may not be there in the one, and is empty in the other.
fn comparable(mut books: TenantBooks) -> TenantBooks {
    books.producers.iter_mut().for_each(|producer| {
        producer.tables.retain(|(_, rows)| *rows != RowCounts::default());
        (producer.missing_ranges, producer.last_seen_us, producer.conflicts) = Default::default();
    });
    books.producers.retain(|producer| producer.announced > 0);
    books.tables.retain(|table| table.received() > 0);
    books
}

/// The same lives in every run; raise the cases or change the seed to look further.
fn config() -> ProptestConfig {
    ProptestConfig { cases: 300, rng_seed: RngSeed::Fixed(1), failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn every_life_keeps_the_promises(steps in prop::collection::vec(step(), 1..25), last: u64) {
        let mut life = Life::new();
        for step in steps {
            life.live(step);
            life.check();
        }
        life.live(Step::Reopen);
        life.live(Step::LosePower(last));
    }

    /// One wrong byte: whoever starts either has everything but unproven last records, or is told file and place.
    #[test]
    fn one_wrong_byte_is_never_a_silent_loss(batches in prop::collection::vec(prop::collection::vec(spec(), 1..5), 1..12), file: prop::sample::Index, byte: prop::sample::Index, value: u8) {
        let mut life = Life::new();
        let mut last_group = 0;
        for batch in batches {
            last_group = (batch.len() as u64 - 1).max(1);
            life.append(&batch);
        }
        life.wal.close();
        let files: Vec<_> = life.disk.contents().into_iter().collect();
        let (name, bytes) = file.get(&files);
        let mut damaged = bytes.clone();
        *byte.get_mut(&mut damaged[..]) ^= value.max(1);
        life.disk.put(name, damaged);
        match crate::testing::try_open(&life.disk) {
            Ok((wal, report)) => {
                prop_assert!(report.durable.0 + last_group >= life.model.records);
                prop_assert!(life.model.log.starts_with(&entries(&wal)));
            }
            Err(crate::OpenError::Damaged { file, .. }) => prop_assert_eq!(&file, name),
            Err(other) => prop_assert!(false, "{}", other),
        }
    }
}
