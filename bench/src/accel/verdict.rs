//! What the guard's program costs for a packet, by `BPF_PROG_TEST_RUN`.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use serde::Serialize;
use waggle_accel::{Guard, GuardConfig};

use crate::facts::Facts;

const PORT: u16 = 8081;
const SYN: u8 = 2;
const ACK: u8 = 16;

/// What is measured.
#[derive(Debug, clap::Args)]
pub struct VerdictArguments {
    /// Runs of the program for each packet.
    #[arg(long, default_value_t = 2_000_000, value_parser = clap::value_parser!(u32).range(1_000..=100_000_000))]
    repeat: u32,
    /// Measurements of each packet, in turn; figures are medians.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Denied networks in the trie, besides the one that is tried.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(0..=8_000))]
    rules: u32,
    /// Keeps the result as `accel/NAME.json` and `accel/NAME.md` there.
    #[arg(long, num_args = 0..=1, default_missing_value = "verdict", value_name = "NAME")]
    save: Option<String>,
    /// Where results are.
    #[arg(long, default_value = "bench/results")]
    results_dir: PathBuf,
}

#[derive(Debug, Serialize)]
struct Document {
    schema: u32,
    repeat: u32,
    rounds: u32,
    rules: u32,
    facts: Facts,
    rows: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct Row {
    packet: &'static str,
    passes: bool,
    nanoseconds: u64,
}

/// Tries each kind of packet.
///
/// # Errors
/// Where the program cannot be loaded, or decides otherwise than it should.
pub fn run(arguments: &VerdictArguments) -> Result<()> {
    let mut deny = vec!["198.51.100.0/24".parse()?];
    for number in 0..arguments.rules {
        let [_, _, high, low] = number.to_be_bytes();
        deny.push(format!("10.{high}.{low}.0/24").parse()?);
    }
    let config = GuardConfig { deny, rate_per_second: 1, burst: 1, ..GuardConfig::default() };
    let guard = Guard::detached(&config, &[PORT])?;
    let packets = [
        ("another port", true, packet([192, 0, 2, 1], PORT + 1, ACK)),
        ("an established connection", true, packet([192, 0, 2, 1], PORT, ACK)),
        ("from a denied network", false, packet([198, 51, 100, 9], PORT, SYN)),
        ("impossible flags", false, packet([192, 0, 2, 1], PORT, SYN | 1)),
        ("a new connection beyond its source's limit", false, packet([192, 0, 2, 2], PORT, SYN)),
    ];
    // Uses up the limit.
    guard.try_packet(&packets[4].2, 10)?;
    let mut times = vec![Vec::new(); packets.len()];
    for _ in 0..arguments.rounds {
        for ((name, wanted, bytes), times) in packets.iter().zip(&mut times) {
            let (passes, time) = guard.try_packet(bytes, arguments.repeat)?;
            ensure!(passes == *wanted, "{name}: passes is {passes}");
            times.push(time.as_nanos() as u64);
        }
    }
    let rows = packets.iter().zip(&mut times).map(|((packet, passes, _), times)| {
        times.sort_unstable();
        Row { packet, passes: *passes, nanoseconds: times[times.len() / 2] }
    });
    let document = Document {
        schema: 1,
        repeat: arguments.repeat,
        rounds: arguments.rounds,
        rules: arguments.rules,
        facts: Facts::collect(None),
        rows: rows.collect(),
    };
    let mut text = "| packet | verdict | ns |\n|---|---|---:|\n".to_owned();
    for row in &document.rows {
        let verdict = if row.passes { "passes" } else { "dropped" };
        text.push_str(&format!("| {} | {verdict} | {} |\n", row.packet, row.nanoseconds));
    }
    print!("{text}");
    if let Some(name) = &arguments.save {
        let dir = arguments.results_dir.join("accel");
        std::fs::create_dir_all(&dir).with_context(|| dir.display().to_string())?;
        let facts = &document.facts;
        let head = format!(
            "# What the guard costs for a packet\n\n\
             `waggle-bench accel-verdict`: `BPF_PROG_TEST_RUN` of {} runs, medians of {}; {} denied networks.\n\n\
             {}; {} × {}, Linux {}; commit {}.\n\n",
            document.repeat,
            document.rounds,
            document.rules + 1,
            facts.date,
            facts.cores,
            facts.cpu,
            facts.kernel,
            facts.git_revision
        );
        std::fs::write(dir.join(format!("{name}.md")), head + &text)?;
        std::fs::write(dir.join(format!("{name}.json")), serde_json::to_string(&document)? + "\n")?;
    }
    Ok(())
}

/// A TCP segment over IPv4 with 64 bytes of data.
fn packet(source: [u8; 4], port: u16, flags: u8) -> Vec<u8> {
    let mut bytes = vec![2; 12];
    bytes.extend([8, 0, 0x45, 0, 0, 104, 0, 0, 0, 0, 64, 6, 0, 0]);
    bytes.extend(source);
    bytes.extend([10, 0, 0, 1, 0xc3, 0x50]);
    bytes.extend(port.to_be_bytes());
    bytes.extend([0, 0, 0, 1, 0, 0, 0, 1, 5 << 4, flags, 1, 0, 0, 0, 0, 0]);
    bytes.extend([7; 64]);
    bytes
}
