//! `wagglectl feed`: rows become incoming tickets.

use std::io::IsTerminal;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::Method;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;
use tokio::task::JoinSet;

use waggle_core::limits::FEED_ATTEMPTS_MAX;

use super::api::{Answer, Api, Ask, random_key};
use super::args::{FeedArgs, Format, Global};
use super::failure::{Exit, Failure};
use super::rows::{Row, Rows};
use super::speak::{notice, print};

/// Between two lines of progress where there is no terminal.
const REPORT_SECONDS: u64 = 5;
/// Bad and refused rows that are told one by one; the rest is only counted.
const TOLD_MAX: u64 = 50;

/// What came of a feed.
#[derive(Debug, Default, Serialize)]
struct Summary {
    rows: u64,
    /// Tickets that this feed made.
    created: u64,
    /// Rows whose tickets an earlier feed made.
    already_there: u64,
    bad: u64,
    refused: u64,
    seconds: f64,
    tickets_per_second: f64,
}

/// What a row's key is made of, beside the row.
struct Origin {
    name: String,
    salt: String,
}

struct Feed {
    api: Arc<Api>,
    summary: Summary,
    bar: ProgressBar,
    started: Instant,
    reported: Instant,
    is_terminal: bool,
    /// What ends the feed.
    failure: Option<Failure>,
}

pub(crate) async fn run(global: &Global, args: &FeedArgs) -> Result<Exit, Failure> {
    let rows = match &args.csv {
        Some(path) => Rows::csv(path, &args.column, args.requester_column.as_deref())?,
        None => Rows::stdin(),
    };
    let origin = Origin::of(args)?;
    let mut feed = Feed::new(Arc::new(Api::new(global, FEED_ATTEMPTS_MAX)?));
    feed.all(rows, args, &origin).await;
    feed.finish(global.output)
}

impl Origin {
    fn of(args: &FeedArgs) -> Result<Self, Failure> {
        let Some(path) = &args.csv else {
            // What comes from stdin has no name: the same line may well be meant again.
            let salt = args.salt.clone().map_or_else(random_key, Ok)?;
            return Ok(Self { name: "-".to_owned(), salt });
        };
        let name = path.file_name().map_or("-".into(), |name| name.to_string_lossy());
        Ok(Self { name: name.into_owned(), salt: args.salt.clone().unwrap_or_default() })
    }
}

impl Feed {
    fn new(api: Arc<Api>) -> Self {
        let is_terminal = std::io::stderr().is_terminal();
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        if let Ok(style) = ProgressStyle::with_template("{spinner} {pos} tickets  {per_sec}  {elapsed}") {
            bar.set_style(style);
        }
        let now = Instant::now();
        Self {
            api,
            summary: Summary::default(),
            bar,
            started: now,
            reported: now,
            is_terminal,
            failure: None,
        }
    }

    async fn all(&mut self, mut rows: Rows, args: &FeedArgs, origin: &Origin) {
        let mut sending = JoinSet::new();
        let begun = tokio::time::Instant::now();
        let mut sent = 0_u64;
        while self.failure.is_none() && args.limit.is_none_or(|limit| self.summary.rows < limit) {
            // Reading stdin may wait for its writer.
            let Ok((row, rest)) = tokio::task::spawn_blocking(move || (rows.next(), rows)).await else {
                break;
            };
            rows = rest;
            let Some(row) = row else { break };
            self.summary.rows += 1;
            let row = match row {
                Ok(row) => row,
                Err(bad) => {
                    self.summary.bad += 1;
                    self.tell(self.summary.bad, &bad.to_string());
                    continue;
                }
            };
            if args.rate > 0.0 {
                let due = begun + Duration::from_secs_f64(sent as f64 / args.rate);
                tokio::time::sleep_until(due).await;
            }
            while sending.len() >= usize::from(args.concurrency)
                && let Some(done) = sending.join_next().await
            {
                self.count(done);
            }
            sent += 1;
            let ask = ask(&row, args, origin);
            let api = Arc::clone(&self.api);
            sending.spawn(async move { (row.line, api.send(&ask).await) });
        }
        while let Some(done) = sending.join_next().await {
            self.count(done);
        }
    }

    fn count(&mut self, done: Result<(u64, Result<Answer, Failure>), tokio::task::JoinError>) {
        match done {
            Ok((_, Ok(answer))) => {
                let Summary { created, already_there, .. } = &mut self.summary;
                *(if answer.is_replay { already_there } else { created }) += 1;
                self.bar.inc(1);
                self.report();
            }
            Ok((line, Err(failure))) if failure.exit == Exit::Refused => {
                self.summary.refused += 1;
                self.tell(self.summary.refused, &format!("line {line}: {failure}; passed over"));
            }
            Ok((_, Err(failure))) => self.failure = Some(failure),
            Err(error) => self.failure = Some(Failure::local("a request was abandoned", error)),
        }
    }

    fn tell(&self, nth: u64, problem: &str) {
        if nth <= TOLD_MAX {
            self.bar.suspend(|| notice(format_args!("{problem}")));
        } else if nth == TOLD_MAX + 1 {
            self.bar.suspend(|| notice("further ones are counted"));
        }
    }

    fn report(&mut self) {
        if !self.is_terminal && self.reported.elapsed().as_secs() >= REPORT_SECONDS {
            self.reported = Instant::now();
            notice(format_args!("{} tickets", self.summary.created + self.summary.already_there));
        }
    }

    fn finish(mut self, format: Format) -> Result<Exit, Failure> {
        self.bar.finish_and_clear();
        let seconds = self.started.elapsed().as_secs_f64();
        self.summary.seconds = (seconds * 1_000.0).round() / 1_000.0;
        self.summary.tickets_per_second = (self.summary.created as f64 / seconds.max(1e-3)).round();
        let told = match format {
            Format::Json => format!("{}\n", serde_json::to_string(&self.summary).unwrap_or_default()),
            Format::Human => format!("{}\n", self.summary.sentence()),
        };
        print(told.as_bytes())?;
        match self.failure {
            Some(failure) => Err(failure),
            None if self.summary.refused > 0 => Ok(Exit::Refused),
            None => Ok(Exit::Ok),
        }
    }
}

impl Summary {
    /// For people.
    fn sentence(&self) -> String {
        let Self { rows, created, already_there, bad, refused, seconds, tickets_per_second } = self;
        let mut told = format!("{rows} rows: {created} created");
        if *already_there > 0 {
            told.push_str(&format!(", {already_there} already there (use --salt to feed them again)"));
        }
        for (count, what) in [(bad, "bad"), (refused, "refused")] {
            if *count > 0 {
                told.push_str(&format!(", {count} {what}"));
            }
        }
        format!("{told}; {seconds:.1} s, {tickets_per_second} created/s")
    }
}

fn ask(row: &Row, args: &FeedArgs, origin: &Origin) -> Ask {
    let body = serde_json::json!({
        "type": "create",
        "queue": args.queue,
        "subject": row.subject(),
        "requester": row.requester,
        "text": row.text,
    });
    Ask {
        method: Method::POST,
        path: "/v1/tickets".to_owned(),
        body: body.to_string().into(),
        key: Some(row.key(&origin.name, args.queue, &origin.salt)),
        if_match: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_that_were_there_are_told_apart() {
        let again = Summary { rows: 10_003, already_there: 10_003, seconds: 1.25, ..Summary::default() };
        assert_eq!(
            again.sentence(),
            "10003 rows: 0 created, 10003 already there (use --salt to feed them again); 1.2 s, 0 created/s"
        );
        let first = Summary { rows: 9, created: 6, bad: 2, refused: 1, seconds: 2.0, ..Summary::default() };
        let first = Summary { tickets_per_second: 3.0, ..first };
        assert_eq!(first.sentence(), "9 rows: 6 created, 2 bad, 1 refused; 2.0 s, 3 created/s");
    }
}
