//! The command line.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args as Arguments, CommandFactory, Parser, Subcommand, ValueEnum};
use waggle_client::View;
use waggle_core::id::{AgentId, Fence, Offset, QueueId, SavedViewId, TicketId, Version};
use waggle_core::limits::FEED_CONCURRENCY_MAX;

use super::learn::{LearnTask, SuggestArgs};

const EXIT_CODES: &str = "Exit codes:
  0  done
  1  failed, for a reason of this side or the server's own
  2  the command line is wrong
  3  refused: a conflict, a version or fence that is not current, or a value that is not taken
  4  not found
  5  unauthorized: no token, a wrong one, or one without the right
  6  unavailable: no connection, overload, or no answer in time";

/// Watches and works on Waggle's tickets.
#[derive(Debug, Parser)]
#[command(name = "wagglectl", version, after_help = EXIT_CODES)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) task: Task,
}

#[derive(Debug, Clone, Arguments)]
pub(crate) struct Global {
    /// Address of the HTTP API
    #[arg(
        long,
        global = true,
        env = "WAGGLE_API",
        default_value = "http://127.0.0.1:8080",
        value_name = "URL"
    )]
    pub(crate) api: String,
    /// Address of the push listener: ws:// or wss://host:port/v1/push, or unix:///path/of/socket
    #[arg(
        long,
        global = true,
        env = "WAGGLE_PUSH",
        default_value = "ws://127.0.0.1:8081/v1/push",
        value_name = "URL"
    )]
    pub(crate) push: String,
    /// File of certificates (PEM) to trust for https and wss, instead of the system's
    #[arg(long, global = true, env = "WAGGLE_CA", value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
    /// API token
    #[arg(
        long,
        global = true,
        env = "WAGGLE_TOKEN",
        hide_env_values = true,
        default_value = "",
        hide_default_value = true
    )]
    pub(crate) token: String,
    /// For people, or for programs
    #[arg(long, global = true, value_enum, default_value_t)]
    pub(crate) output: Format,
    /// When to colour what is for people
    #[arg(long, global = true, value_enum, default_value_t)]
    pub(crate) color: Color,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum Format {
    #[default]
    Human,
    Json,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum Color {
    /// On a terminal, unless NO_COLOR is set
    #[default]
    Auto,
    Always,
    Never,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Task {
    /// Show what happens, live
    Watch(WatchArgs),
    /// Work on tickets
    Ticket {
        #[command(subcommand)]
        task: TicketTask,
    },
    /// Find tickets by their words, best first
    Search {
        /// Words, and terms such as status:open
        #[arg(required = true, value_name = "WORD")]
        words: Vec<String>,
        /// Rows at most
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
        limit: u32,
    },
    /// Look at saved views
    View {
        #[command(subcommand)]
        task: ViewTask,
    },
    /// Show what the assistant would answer a customer
    Suggest(SuggestArgs),
    /// Look at the assistant, and teach it
    Learn {
        #[command(subcommand)]
        task: LearnTask,
    },
    /// Turn rows or lines into incoming tickets
    Feed(FeedArgs),
    /// Tell who watches a ticket that you view it, or type, for a while
    Signal(SignalArgs),
    /// List the agents who are there
    Presence,
    /// List push sessions, those that are furthest behind first (an administrator's token)
    Sessions {
        /// What comes first
        #[arg(long, value_enum, default_value_t)]
        order: SessionOrder,
        /// How many
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=200))]
        limit: u32,
    },
    /// Print a completion script
    Completion {
        /// For this shell
        shell: clap_complete::Shell,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum SessionOrder {
    /// Most events behind
    #[default]
    Lag,
    /// Most bytes that wait for the socket
    Queued,
    /// Most bytes without an ack
    Unacked,
}

const WATCH_HELP: &str = "What --state promises:
  Every event of the views is printed in order, over reconnects and restarts. The cursor is saved
  after the lines were written. SIGINT, SIGTERM and SIGHUP end it between two lines, cursor saved:
  then every event is printed exactly once. After kill -9:
  - output into a regular file (--out FILE, or stdout redirected with >>): exactly once. At start,
    lines that were written after the cursor was last saved are found in the file and not written
    again, and a torn last line is completed. Same --output, --view and file as before are needed.
  - into a pipe or terminal: at least once; the last lines may come again.
  The state is safe against the death of the process, not of the machine.

A resync (stderr) means that events may be missing between the cursor and the new one: the log was
restored, or does not reach back that far.";

#[derive(Debug, Arguments)]
#[command(after_help = WATCH_HELP)]
pub(crate) struct WatchArgs {
    /// tenant, mine, inbox, queue:<id>, ticket:<id>, count:<id> or presence; may be given several times
    #[arg(long = "view", value_name = "VIEW", default_value = "tenant")]
    pub(crate) views: Vec<View>,
    /// Keep the cursor here across runs
    #[arg(long, value_name = "FILE")]
    pub(crate) state: Option<PathBuf>,
    /// Append to this file instead of stdout; the state is FILE.state unless --state says otherwise
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// Where there is no state yet: begin with the first event of the log, not with the next one
    #[arg(long)]
    pub(crate) from_start: bool,
    /// Stop after so many events
    #[arg(long, value_name = "N")]
    pub(crate) count: Option<u64>,
    /// Show live hints as well: who views and types (of tickets watched by ticket:<id>), and who comes and
    /// goes (presence). They are not part of what --state promises
    #[arg(long, conflicts_with_all = ["state", "out"])]
    pub(crate) signals: bool,
}

/// What an agent does at a ticket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Hinted {
    /// Has it on the screen
    Viewing,
    /// Writes
    Typing,
}

#[derive(Debug, Arguments)]
pub(crate) struct SignalArgs {
    /// What
    #[arg(value_enum)]
    pub(crate) kind: Hinted,
    /// Where
    pub(crate) ticket: TicketId,
    /// Seconds, or until it is interrupted
    #[arg(long = "for", default_value = "10", value_name = "SECONDS", value_parser = seconds)]
    pub(crate) seconds: f64,
    /// More about it: a JSON object
    #[arg(long, value_name = "JSON")]
    pub(crate) data: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TicketTask {
    /// Open a ticket
    Create {
        /// Where it waits
        #[arg(long)]
        queue: QueueId,
        #[arg(long)]
        subject: String,
        /// Who asks: an address or a name
        #[arg(long)]
        requester: String,
        /// The first message; read from stdin where not given
        #[arg(long)]
        text: Option<String>,
        /// low, normal, high or urgent
        #[arg(long)]
        priority: Option<String>,
        /// The closed ticket that this one follows
        #[arg(long, value_name = "TICKET")]
        follow_up_of: Option<TicketId>,
    },
    /// List tickets
    List {
        /// Terms such as `status:open assignee:me tag:refund created>2026-01-31`
        #[arg(long)]
        query: Option<String>,
        #[arg(long)]
        queue: Option<QueueId>,
        /// The name of a status: new, open, pending, on_hold, solved or closed, or one of another lifecycle
        #[arg(long)]
        status: Option<String>,
        /// me, none or an agent's number
        #[arg(long)]
        assignee: Option<String>,
        #[command(flatten)]
        listing: Listing,
    },
    /// Show one ticket and its messages
    Show {
        ticket: TicketId,
        /// As it was: milliseconds since 1970, or a time such as 2026-01-31T12:30:00Z
        #[arg(long, value_name = "TIME")]
        at: Option<String>,
    },
    /// Answer the requester
    Reply {
        ticket: TicketId,
        /// Read from stdin where not given
        text: Option<String>,
        /// The status that it leaves
        #[arg(long)]
        status: Option<String>,
        /// The suggested reply that it is made of, as `suggest` shows it: sent as it was, it is accepted, else edited
        #[arg(long, value_name = "REPLY:MODEL")]
        suggestion: Option<Origin>,
        #[command(flatten)]
        basis: Basis,
    },
    /// Leave a note for agents
    Note {
        ticket: TicketId,
        /// Read from stdin where not given
        text: Option<String>,
    },
    /// Move along an edge of the lifecycle
    Move {
        ticket: TicketId,
        status: String,
        #[command(flatten)]
        basis: Basis,
    },
    /// Take a ticket
    Claim { ticket: TicketId },
    /// Give a ticket back to its queue
    Release {
        ticket: TicketId,
        #[command(flatten)]
        basis: Basis,
    },
    /// Give a ticket to an agent
    Assign {
        ticket: TicketId,
        agent: AgentId,
        #[command(flatten)]
        basis: Basis,
    },
}

/// A suggested reply, and the version of the model that suggested it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Origin {
    pub(crate) reply: u64,
    pub(crate) model: Offset,
}

impl FromStr for Origin {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let pair =
            text.split_once(':').and_then(|(reply, model)| Some((reply.parse().ok()?, model.parse().ok()?)));
        let (reply, model) =
            pair.ok_or("expected two numbers, REPLY:MODEL, as `wagglectl suggest` shows them")?;
        Ok(Self { reply, model: Offset(model) })
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum ViewTask {
    /// List the views that one sees
    List,
    /// List them with the number of their tickets
    Counts,
    /// List a view's tickets
    Tickets {
        view: SavedViewId,
        #[command(flatten)]
        listing: Listing,
    },
}

/// In which order, when, and how many.
#[derive(Debug, Clone, Arguments)]
pub(crate) struct Listing {
    /// id, created, updated, priority or due, with `-` in front for the greatest first
    #[arg(long, allow_hyphen_values = true)]
    pub(crate) sort: Option<String>,
    /// As it was: milliseconds since 1970, or a time such as 2026-01-31T12:30:00Z
    #[arg(long, value_name = "TIME")]
    pub(crate) at: Option<String>,
    /// Rows at most
    #[arg(long, default_value_t = waggle_core::limits::PAGE_ROWS_DEFAULT, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) limit: u32,
    /// All rows
    #[arg(long, conflicts_with = "limit")]
    pub(crate) all: bool,
}

impl Listing {
    pub(crate) fn rows_max(&self) -> usize {
        if self.all { usize::MAX } else { self.limit as usize }
    }
}

/// What the author knows of the ticket. Where it is needed and not given, the ticket is read first.
#[derive(Debug, Clone, Copy, Default, Arguments)]
pub(crate) struct Basis {
    /// Only if the ticket still has this version
    #[arg(long, value_name = "VERSION", conflicts_with = "any")]
    pub(crate) expect: Option<Version>,
    /// Whatever version the ticket has
    #[arg(long)]
    pub(crate) any: bool,
    /// The fence of the claim; that of one's own claim where not given
    #[arg(long)]
    pub(crate) fence: Option<Fence>,
}

const FEED_HELP: &str =
    "Each row's Idempotency-Key is made of the file's name, the row's number, its text and the queue:
a feed that was interrupted can be repeated, and creates only what is missing, for as long as the
server remembers keys; the rows that were there already are counted as such. To feed the same rows
again on purpose, give another --salt.

Lines of stdin come from no file that could be told apart, so that each feed of them makes tickets.
With --salt such a feed can be repeated, too.

Rows that cannot be a ticket are reported with their line, counted and passed over. The exit code is
3 where the server refused rows.";

#[derive(Debug, Arguments)]
#[command(after_help = FEED_HELP)]
pub(crate) struct FeedArgs {
    /// A CSV file with a header; lines of stdin where not given
    #[arg(long, value_name = "FILE")]
    pub(crate) csv: Option<PathBuf>,
    /// The column with the text
    #[arg(long, default_value = "text", value_name = "NAME", requires = "csv")]
    pub(crate) column: String,
    /// The column with the requester; customer-<row>@example.com where not given
    #[arg(long, value_name = "NAME", requires = "csv")]
    pub(crate) requester_column: Option<String>,
    /// Where the tickets wait
    #[arg(long, default_value = "1")]
    pub(crate) queue: QueueId,
    /// Tickets per second; as fast as possible where 0
    #[arg(long, default_value = "0", value_parser = rate)]
    pub(crate) rate: f64,
    /// Tickets on their way at a time
    #[arg(long, default_value = "8", value_parser = clap::value_parser!(u16).range(1..=FEED_CONCURRENCY_MAX as i64))]
    pub(crate) concurrency: u16,
    /// Rows at most
    #[arg(long, value_name = "K")]
    pub(crate) limit: Option<u64>,
    /// Makes the keys of this feed differ from those of another one of the same rows; random for stdin
    /// where not given
    #[arg(long)]
    pub(crate) salt: Option<String>,
}

/// `20`, `0.5` or `20/s`.
fn rate(text: &str) -> Result<f64, String> {
    let number = text.trim_end_matches("/s").parse::<f64>();
    match number {
        Ok(rate) if (0.0..=1e6).contains(&rate) => Ok(rate),
        _ => Err("expected tickets per second, from 0 to 1000000, as in 20 or 20/s".to_owned()),
    }
}

/// `10`, `0.5` or `10s`.
fn seconds(text: &str) -> Result<f64, String> {
    let seconds = text.trim_end_matches('s').parse::<f64>().ok();
    let seconds = seconds.filter(|seconds| (0.0..=86_400.0).contains(seconds));
    seconds.ok_or_else(|| "expected seconds, from 0 to 86400, as in 10".to_owned())
}

/// A completion script.
pub(crate) fn completion(shell: clap_complete::Shell) -> Vec<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Args::command(), "wagglectl", &mut script);
    script
}

impl Global {
    /// Whether what goes to a terminal (or not) is coloured.
    pub(crate) fn is_colored(&self, is_terminal: bool) -> bool {
        match self.color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => is_terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Args, clap::Error> {
        Args::try_parse_from(std::iter::once("wagglectl").chain(line.split(' ')))
    }

    #[test]
    fn the_command_is_sound() {
        Args::command().debug_assert();
    }

    #[test]
    fn lines_are_understood() {
        let Task::Watch(watch) = parse("watch --view queue:1 --view mine --state s").unwrap().task else {
            panic!()
        };
        assert_eq!(watch.views, [View::Queue(QueueId(1)), View::Mine]);
        let Task::Feed(feed) = parse("feed --csv a.csv --rate 20/s").unwrap().task else { panic!() };
        assert!((feed.rate - 20.0).abs() < 1e-9);
        assert_eq!(parse("ticket list --output json").unwrap().global.output, Format::Json);
        for line in [
            "watch --view queue:0",
            "ticket move 3 open --expect 1 --any",
            "feed --rate -1",
            "ticket show x",
            "search",
            "view tickets 0",
            "feed --column a",
            "watch --signals --state s",
            "signal waving 3",
            "signal typing 3 --for -1",
        ] {
            assert_eq!(parse(line).unwrap_err().exit_code(), 2, "{line}");
        }
    }
}
