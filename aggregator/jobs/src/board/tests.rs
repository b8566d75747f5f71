use super::*;

fn board(schedule: &[(Job, u64)], now: Instant) -> Board {
    let schedule = Schedule(schedule.iter().map(|(job, every)| (*job, Duration::from_secs(*every))).collect());
    Board::new(&schedule, BTreeMap::new(), now)
}

/// Each run takes a second; what ran, and when.
fn runs(board: &mut Board, begin: Instant, seconds: u64) -> Vec<(Job, Duration)> {
    let (mut now, mut ran) = (begin, Vec::new());
    while now < begin + Duration::from_secs(seconds) {
        match board.next(now) {
            Next::Run(job) => {
                board.begin(job, now, 0);
                ran.push((job, now - begin));
                now += Duration::from_secs(1);
                board.end(job, 0, Ok(Outcome::default()));
            }
            Next::At(due) => {
                assert!(due > now);
                now = due;
            }
            Next::WhenAsked => break,
        }
    }
    ran
}

#[test]
fn each_runs_as_often_as_it_should() {
    for _ in 0..100 {
        let begin = Instant::now();
        let mut board = board(&[(Job::Compact, 60), (Job::Retain, 600), (Job::Rewrite, 2)], begin);
        let ran = runs(&mut board, begin, 6_000);
        let of = |job| ran.iter().filter(move |(of, _)| *of == job);
        let count = |job| of(job).count();
        assert!((97..=100).contains(&count(Job::Compact)), "{}", count(Job::Compact));
        assert!((9..=10).contains(&count(Job::Retain)), "{}", count(Job::Retain));
        assert!(count(Job::Rewrite) > 2_800, "{}", count(Job::Rewrite));
        assert_eq!(count(Job::Vacuum), 0, "it has no interval");
        let first = of(Job::Retain).next().expect("it ran").1;
        assert!(first >= FIRST_RUN_AFTER && first < FIRST_RUN_AFTER + FIRST_RUN_WITHIN + Duration::from_secs(2));
    }
}

/// Runs that take longer than their interval do not keep the others from running.
#[test]
fn the_longest_due_is_next() {
    let begin = Instant::now();
    let mut board = board(&[(Job::Compact, 1), (Job::Rewrite, 1), (Job::Retain, 1)], begin);
    let ran: Vec<Job> = runs(&mut board, begin, 60).into_iter().map(|(job, _)| job).skip(3).collect();
    for three in ran.chunks_exact(3) {
        assert!(three.contains(&Job::Compact) && three.contains(&Job::Rewrite) && three.contains(&Job::Retain));
    }
}

#[test]
fn who_asks_comes_before_what_is_due_and_in_turn() {
    let begin = Instant::now();
    let mut board = board(&[(Job::Compact, 1)], begin);
    let later = begin + Duration::from_secs(100);
    assert_eq!(board.next(later), Next::Run(Job::Compact));
    for job in [Job::Vacuum, Job::Archive, Job::Vacuum] {
        board.ask(job, oneshot::channel().0);
    }
    for job in [Job::Vacuum, Job::Archive, Job::Compact] {
        assert_eq!(board.next(later), Next::Run(job));
        board.begin(job, later, 0);
        board.end(job, 0, Ok(Outcome::default()));
    }
    assert!(matches!(board.next(later), Next::At(_)));
}
