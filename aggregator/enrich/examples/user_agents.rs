//! What the rules of user agents cost: `cargo run --release -p ridealong-enrich --example user_agents -- FILE`, a file of
//! user agents, one a line. Prints times, memory, and how many expressions they needed.

#![allow(clippy::print_stdout, reason = "a program that prints its measurements")]

use std::time::Instant;

use ridealong_enrich::user_agent::UserAgents;

fn main() {
    let path = std::env::args().nth(1).expect("a file of user agents");
    let text = std::fs::read_to_string(path).expect("the file can be read");
    let lines: Vec<&str> = text.lines().collect();
    let before = resident_kibibytes();
    let agents = UserAgents::default();
    let started = Instant::now();
    agents.browser("");
    println!("ready after {:?}, {} KiB more", started.elapsed(), resident_kibibytes() - before);
    for round in ["first round", "second round"] {
        let started = Instant::now();
        for line in &lines {
            std::hint::black_box((agents.browser(line), agents.system(line), agents.device(line)));
        }
        let each = started.elapsed() / lines.len().max(1) as u32;
        let more = resident_kibibytes() - before;
        println!("{round}: {each:?} each, {more} KiB more, {} expressions", agents.compiled());
    }
}

fn resident_kibibytes() -> i64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()).and_then(|number| number.parse().ok()).unwrap_or(0)
}
