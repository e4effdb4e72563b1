//! A load that several processes share: each drives its part, and the one that started them joins what they
//! have seen. They are told what to do by lines of JSON on their standard input, so that no token is on a
//! command line.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use super::drive::{Drive, Schedule};
use super::tally::{Tally, WireTally};
use super::turns::MovesAndReads;
use crate::measure::Window;
use crate::pace::{Arrivals, Rate};
use crate::stop;
use crate::stream::Address;
use crate::target::Target;
use crate::tickets::{Ticket, Tickets};

/// What one process does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Share {
    /// Gateways, in turn: address, Host header, tokens.
    pub targets: Vec<(SocketAddr, String, Vec<String>)>,
    /// Its connections.
    pub connections: u32,
    /// The number of the first one's client.
    pub first_client: u32,
    /// Its requests per second, or as many as are answered.
    pub rate: Rate,
    /// Spacing, in open loop.
    pub arrivals: Arrivals,
    /// Load that does not count, in seconds.
    pub warm_up_s: f64,
    /// Load that counts, in seconds.
    pub duration_s: f64,
    /// Of its randomness.
    pub seed: u64,
    /// The tickets that it alone moves.
    pub tickets: Vec<Ticket>,
}

const READY: &str = "ready";
const GO: &str = "go";

impl Share {
    fn schedule(&self) -> Result<Schedule> {
        Ok(Schedule {
            rate: self.rate,
            arrivals: self.arrivals,
            warm_up: Duration::try_from_secs_f64(self.warm_up_s).context("warm-up")?,
            duration: Duration::try_from_secs_f64(self.duration_s).context("duration")?,
        })
    }

    /// Divides it among `processes`: connections, rate and tickets as evenly as they go.
    ///
    /// # Errors
    /// Where there is not a connection and a ticket for each.
    pub fn split(&self, processes: u32) -> Result<Vec<Self>> {
        let tickets = self.tickets.len();
        if processes == 0 || self.connections < processes || tickets < processes as usize {
            bail!(
                "{} connections and {tickets} tickets for {processes} processes: expected at least one of each",
                self.connections
            );
        }
        let mut first_client = self.first_client;
        let part = |index: u32| {
            let connections = self.connections / processes + u32::from(index < self.connections % processes);
            let mine = self.tickets.iter().skip(index as usize).step_by(processes as usize);
            let rate = match self.rate {
                Rate::Max => Rate::Max,
                Rate::PerSecond(rate) => Rate::PerSecond(rate / f64::from(processes)),
            };
            let share = Self {
                connections,
                first_client,
                rate,
                seed: self.seed.wrapping_mul(1_000_003).wrapping_add(u64::from(index)),
                tickets: mine.copied().collect(),
                ..self.clone()
            };
            first_client += connections;
            share
        };
        Ok((0..processes).map(part).collect())
    }
}

/// Does one share: reads it from standard input, connects, says that it is ready, and answers each `go` with
/// the tally of a run, until its input ends.
///
/// # Errors
/// Where it cannot go on, or was interrupted.
pub fn drive_share() -> Result<()> {
    stop::listen()?;
    let mut lines = std::io::stdin().lock().lines();
    let share = lines.next().context("no share on standard input")??;
    let share: Share = serde_json::from_str(&share).context("standard input has no share")?;
    let target = |(address, host, tokens): &(SocketAddr, String, Vec<String>)| Target {
        api: Address::Tcp(*address),
        push: Address::Tcp(*address),
        host: host.clone(),
        tokens: tokens.clone(),
        pid: None,
    };
    let targets: Vec<_> = share.targets.iter().map(target).collect();
    let work = MovesAndReads::new(Tickets::new(share.tickets.clone()));
    let mut drive = Drive::connect(&targets, share.connections, share.first_client, work, share.seed)?;
    let schedule = share.schedule()?;
    say(READY)?;
    for line in lines {
        match line?.as_str() {
            GO => say(&serde_json::to_string(&drive.run(&schedule, || ())?.to_wire())?)?,
            other => bail!("told {other:?}, expected {GO:?}"),
        }
    }
    Ok(())
}

fn say(line: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}

/// The processes of a load; dropping it ends them.
#[derive(Debug)]
pub struct Crew {
    members: Vec<Member>,
    schedule: Schedule,
}

#[derive(Debug)]
struct Member {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Crew {
    /// Starts one process for each share and waits until all are connected.
    ///
    /// # Errors
    /// Where one cannot be started, or cannot connect: it has said why.
    pub fn start(shares: &[Share]) -> Result<Self> {
        let first = shares.first().context("no shares: expected at least one")?;
        let mut crew = Self { members: Vec::new(), schedule: first.schedule()? };
        for share in shares {
            crew.members.push(Member::start(share)?);
        }
        for member in &mut crew.members {
            if member.line()?.trim() != READY {
                bail!("a process of the load is not ready: see above");
            }
        }
        Ok(crew)
    }

    /// One run of all at once; `measured` is called at the start of the window and at its end.
    ///
    /// # Errors
    /// Where one of them failed: it has said why.
    pub fn run(&mut self, mut measured: impl FnMut()) -> Result<Tally> {
        for member in &mut self.members {
            writeln!(member.input, "{GO}").context("a process of the load has ended")?;
        }
        let start = Instant::now() + self.schedule.warm_up;
        wait_until(start)?;
        measured();
        wait_until(start + self.schedule.duration)?;
        measured();
        let mut whole = Tally::new(&[], Window::default());
        for member in &mut self.members {
            let line = member.line()?;
            let tally: WireTally =
                serde_json::from_str(&line).context("a process of the load has failed: see above")?;
            whole.merge(&tally);
        }
        Ok(whole)
    }
}

/// Sleeps, and looks now and then whether the bench was told to stop.
fn wait_until(end: Instant) -> Result<()> {
    const LOOK: Duration = Duration::from_millis(100);
    loop {
        stop::check()?;
        match end.saturating_duration_since(Instant::now()) {
            Duration::ZERO => return Ok(()),
            left => std::thread::sleep(left.min(LOOK)),
        }
    }
}

impl Member {
    fn start(share: &Share) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("drive-table").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().context("cannot start a process for the load")?;
        let pipes = child.stdin.take().zip(child.stdout.take());
        let Some((input, output)) = pipes else { bail!("a process of the load has no pipes") };
        let mut member = Self { child, input, output: BufReader::new(output) };
        writeln!(member.input, "{}", serde_json::to_string(share)?)?;
        Ok(member)
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        Ok(line)
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        // It may have ended already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(connections: u32, tickets: u64) -> Share {
        Share {
            targets: vec![("127.0.0.1:1".parse().unwrap(), "h".into(), vec!["t".into()])],
            connections,
            first_client: 7,
            rate: Rate::PerSecond(20_000.0),
            arrivals: Arrivals::Even,
            warm_up_s: 1.0,
            duration_s: 2.0,
            seed: 3,
            tickets: (1..=tickets).map(Ticket::new).collect(),
        }
    }

    #[test]
    fn shares_make_up_the_whole() {
        let whole = share(5_000, 100);
        let parts = whole.split(3).unwrap();
        assert_eq!(parts.iter().map(|part| part.connections).sum::<u32>(), 5_000);
        let mut next = 7;
        let mut ids: Vec<u64> = Vec::new();
        for part in &parts {
            assert_eq!(part.first_client, next);
            next += part.connections;
            ids.extend(part.tickets.iter().map(|ticket| ticket.id));
            assert_eq!(part.rate, Rate::PerSecond(20_000.0 / 3.0));
        }
        ids.sort_unstable();
        assert_eq!(ids, (1..=100).collect::<Vec<_>>());
        assert_ne!(parts[0].seed, parts[1].seed);
        let text = serde_json::to_string(&parts[0]).unwrap();
        assert_eq!(serde_json::from_str::<Share>(&text).unwrap(), parts[0]);
    }

    #[test]
    fn no_process_is_without_work() {
        assert!(share(1, 100).split(2).is_err() && share(100, 1).split(2).is_err());
        assert!(share(2, 2).split(2).is_ok());
    }
}
