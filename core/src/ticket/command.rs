//! Commands as they arrive: parsed in place, fields borrowed from the received bytes.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use super::lifecycle::{Lifecycle, Lifecycles, Status};
use super::{Details, Intent, LinkKind, LinkState, Refusal};
use crate::id::{AgentId, Fence, QueueId, TicketId, Version};
use crate::json::JsonText;
use crate::limits::{COMMAND_BYTES_MAX, REQUESTER_BYTES_MAX, SUBJECT_BYTES_MAX, TEXT_BYTES_MAX};
use crate::right::{Right, Rights};

/// How urgent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    /// Can wait.
    Low,
    /// As most.
    #[default]
    Normal,
    /// Before most.
    High,
    /// Now.
    Urgent,
}

impl Priority {
    /// Its name on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Normal => "normal",
            Self::High => "high",
            Self::Urgent => "urgent",
        }
    }

    /// The priority called `name`.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Low, Self::Normal, Self::High, Self::Urgent]
            .into_iter()
            .find(|priority| priority.name() == name)
    }
}

/// Which version a command was decided on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// Whatever it is (`If-Match: *`).
    Any,
    /// This one only (`If-Match: "7"`).
    Version(Version),
    /// This one, or a later one that has not changed what the command changes (the member `expect`). The compare-and-swap
    /// takes it for [`Expect::Version`]; whoever can read the ticket's events looks what has changed, and asks again.
    Since(Version),
}

impl Expect {
    /// The version that it names.
    #[must_use]
    pub fn version(self) -> Option<Version> {
        match self {
            Self::Any => None,
            Self::Version(version) | Self::Since(version) => Some(version),
        }
    }
}

/// What somebody wants. Texts are borrowed from the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command<'a> {
    /// A new ticket.
    Create {
        /// Where it waits.
        queue: QueueId,
        /// At most [`SUBJECT_BYTES_MAX`].
        subject: JsonText<'a>,
        /// At most [`REQUESTER_BYTES_MAX`].
        requester: JsonText<'a>,
        /// The first message; at most [`TEXT_BYTES_MAX`].
        text: JsonText<'a>,
        /// Normal where not said.
        priority: Priority,
        /// The closed ticket that this one follows.
        follow_up_of: Option<TicketId>,
        /// Tags, custom fields and the like.
        details: Details<'a>,
    },
    /// A further message from the requester.
    Message {
        /// At most [`TEXT_BYTES_MAX`].
        text: JsonText<'a>,
    },
    /// A public reply.
    Reply {
        /// At most [`TEXT_BYTES_MAX`].
        text: JsonText<'a>,
        /// The status that it leaves, of the ticket's lifecycle.
        status: Option<JsonText<'a>>,
        /// The version that its author saw, where it shall not be sent if something was said since.
        seen: Option<Version>,
    },
    /// An internal note.
    Note {
        /// At most [`TEXT_BYTES_MAX`].
        text: JsonText<'a>,
    },
    /// New values of fields; at least one.
    Set {
        /// New subject.
        subject: Option<JsonText<'a>>,
        /// New priority.
        priority: Option<Priority>,
        /// New queue.
        queue: Option<QueueId>,
        /// The status that the ticket gets there: needed where that queue has another lifecycle, which does not say.
        status: Option<JsonText<'a>>,
        /// Changes of tags, custom fields and the like.
        details: Details<'a>,
    },
    /// Along an edge of the lifecycle.
    Move {
        /// Where to: a status of the ticket's lifecycle.
        to: JsonText<'a>,
    },
    /// For the agent who asks.
    Claim,
    /// Back to the queue.
    Release,
    /// For the agent named.
    Assign {
        /// Whom.
        agent: AgentId,
    },
    /// Ties the ticket to another one, or unties it: both tickets are told.
    Link {
        /// What the other ticket is to this one.
        kind: LinkKind,
        /// The other ticket.
        other: TicketId,
        /// Whether it is there afterwards.
        state: LinkState,
    },
    /// Closes the ticket for another one, which goes on in its place.
    Merge {
        /// The other ticket.
        into: TicketId,
    },
    /// Makes a new ticket of one of its messages.
    Split {
        /// The version that the message made.
        message: Version,
        /// What the new ticket is about.
        subject: JsonText<'a>,
        /// Where it waits; where not said, where this one does.
        queue: Option<QueueId>,
    },
    /// A file that has been stored. It comes from the gateway itself: nobody else can say so.
    Attach {
        /// What it is: a JSON object.
        attachment: &'a str,
    },
    /// Waggle's own, after a change of lifecycles: nobody sends it.
    Settle(Settle),
}

/// A status that a ticket gets because the one that it has was removed, or its queue has another lifecycle now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settle {
    /// What it has.
    pub from: Status,
    /// What it gets.
    pub to: Status,
}

/// A name that no status of a ticket's lifecycle has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("lifecycle {lifecycle:?} has no status {name:?}; expected one of {}", expected.join(", "))]
pub struct UnknownStatus {
    /// As given, cut to what is shown.
    pub name: String,
    /// The lifecycle of the ticket, or of the queue that it is to go to.
    pub lifecycle: String,
    /// The names of its statuses.
    pub expected: Vec<String>,
}

/// A command with what its author knew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request<'a> {
    /// What.
    pub command: Command<'a>,
    /// The version it was decided on, where said.
    pub expect: Option<Expect>,
    /// The claim's fence, where said.
    pub fence: Option<Fence>,
}

/// Why the bytes are no command. Nothing has changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// Longer than [`COMMAND_BYTES_MAX`].
    #[error("the command has {bytes} bytes; at most {COMMAND_BYTES_MAX} are taken")]
    TooLong {
        /// As received.
        bytes: usize,
    },
    /// Not JSON, or not of a command's shape; the message says where and what was expected.
    #[error("{0}")]
    Malformed(String),
    /// No such `type`.
    #[error(
        "unknown command type {0:?}; expected one of create, message, reply, note, set, move, claim, release, assign, link, unlink, merge, split"
    )]
    UnknownType(String),
    /// A field that the command needs.
    #[error("a {command} command needs the field {field:?}")]
    MissingField {
        /// Its type.
        command: &'static str,
        /// The field.
        field: &'static str,
    },
    /// A field that the command does not take.
    #[error("a {command} command takes no field {field:?}; it takes {takes}")]
    ExtraField {
        /// Its type.
        command: &'static str,
        /// The field.
        field: &'static str,
        /// Those that it takes.
        takes: &'static str,
    },
    /// A text over its limit.
    #[error("{field:?} has {bytes} bytes; at most {limit} are taken")]
    TextTooLong {
        /// The field.
        field: &'static str,
        /// As given.
        bytes: usize,
        /// At most.
        limit: usize,
    },
    /// A text of nothing.
    #[error("{field:?} is blank; it needs at least one visible character")]
    BlankText {
        /// The field.
        field: &'static str,
    },
    /// A link of a kind that there is not.
    #[error("\"as\" is {0:?}; expected one of related, duplicate, parent, child")]
    UnknownLink(String),
    /// A set command with a status and no queue.
    #[error(
        "a set command takes a status only together with a queue; to change the status alone, send a move"
    )]
    StatusWithoutQueue,
    /// A set command that sets nothing.
    #[error("a set command needs at least one of the fields {SET_FIELDS}")]
    NothingToSet,
}

/// Every field of every command: flat, so that nothing is buffered or copied while it is parsed.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields<'a> {
    #[serde(borrow, rename = "type")]
    kind: JsonText<'a>,
    #[serde(borrow)]
    subject: Option<JsonText<'a>>,
    #[serde(borrow)]
    requester: Option<JsonText<'a>>,
    #[serde(borrow)]
    text: Option<JsonText<'a>>,
    #[serde(borrow)]
    status: Option<JsonText<'a>>,
    #[serde(borrow)]
    to: Option<JsonText<'a>>,
    priority: Option<Priority>,
    queue: Option<QueueId>,
    agent: Option<AgentId>,
    follow_up_of: Option<TicketId>,
    #[serde(borrow, default, deserialize_with = "given")]
    tags: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "given")]
    fields: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "given")]
    followers: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "given")]
    due_at: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "given")]
    channel: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "given")]
    requester_id: Option<&'a RawValue>,
    seen: Option<Version>,
    force: Option<bool>,
    #[serde(borrow, rename = "as")]
    link: Option<JsonText<'a>>,
    ticket: Option<TicketId>,
    into: Option<TicketId>,
    message: Option<Version>,
    expect: Option<Version>,
    fence: Option<Fence>,
}

/// What a set command may change.
const SET_FIELDS: &str = "subject, priority, queue, tags, fields, followers, due_at, channel, requester_id";

/// A value that is there, be it `null`.
fn given<'de: 'a, 'a, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'a RawValue>, D::Error> {
    <&'de RawValue>::deserialize(deserializer).map(Some)
}

impl<'a> Request<'a> {
    /// Parses one command from JSON: an object with a `type`, that type's fields, and for all but
    /// create the optional `expect` (version) and `fence`.
    ///
    /// Allocates nothing where it succeeds.
    ///
    /// # Errors
    /// Says what is wrong and what would be right.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, CommandError> {
        if bytes.len() > COMMAND_BYTES_MAX {
            return Err(CommandError::TooLong { bytes: bytes.len() });
        }
        let fields: Fields<'a> =
            serde_json::from_slice(bytes).map_err(|error| CommandError::Malformed(error.to_string()))?;
        fields.into_request()
    }
}

impl<'a> Fields<'a> {
    fn into_request(self) -> Result<Request<'a>, CommandError> {
        let kind = self.kind.decode();
        let command = match kind.as_ref() {
            "create" => self.create()?,
            "message" => {
                self.takes_only("message", "text, expect", &["text", "expect"])?;
                Command::Message { text: self.text("message")? }
            }
            "reply" => {
                self.takes_only(
                    "reply",
                    "text, status, seen, force, expect, fence",
                    &["text", "status", "seen", "force", "expect", "fence"],
                )?;
                let seen = self.seen.filter(|_| self.force != Some(true));
                Command::Reply { text: self.text("reply")?, status: self.status, seen }
            }
            "note" => {
                self.takes_only("note", "text, expect", &["text", "expect"])?;
                Command::Note { text: self.text("note")? }
            }
            "set" => self.set()?,
            "move" => {
                self.takes_only("move", "to, expect, fence", &["to", "expect", "fence"])?;
                let to = self.to.ok_or(CommandError::MissingField { command: "move", field: "to" })?;
                Command::Move { to }
            }
            "claim" => {
                self.takes_only("claim", "expect, fence", &["expect", "fence"])?;
                Command::Claim
            }
            "release" => {
                self.takes_only("release", "expect, fence", &["expect", "fence"])?;
                Command::Release
            }
            "assign" => {
                self.takes_only("assign", "agent, expect, fence", &["agent", "expect", "fence"])?;
                let agent =
                    self.agent.ok_or(CommandError::MissingField { command: "assign", field: "agent" })?;
                Command::Assign { agent }
            }
            "link" => self.link("link", LinkState::There)?,
            "unlink" => self.link("unlink", LinkState::Gone)?,
            "merge" => {
                self.takes_only("merge", "into, expect, fence", &["into", "expect", "fence"])?;
                let into = self.into.ok_or(CommandError::MissingField { command: "merge", field: "into" })?;
                Command::Merge { into }
            }
            "split" => self.split()?,
            other => return Err(CommandError::UnknownType(other.chars().take(40).collect())),
        };
        Ok(Request { command, expect: self.expect.map(Expect::Since), fence: self.fence })
    }

    fn create(&self) -> Result<Command<'a>, CommandError> {
        const TAKES: &str = "queue, subject, requester, text, priority, follow_up_of, tags, fields, followers, \
                             due_at, channel, requester_id";
        const ALLOWED: [&str; 12] = [
            "queue",
            "subject",
            "requester",
            "text",
            "priority",
            "follow_up_of",
            "tags",
            "fields",
            "followers",
            "due_at",
            "channel",
            "requester_id",
        ];
        self.takes_only("create", TAKES, &ALLOWED)?;
        let missing = |field| CommandError::MissingField { command: "create", field };
        let subject = self.subject.ok_or_else(|| missing("subject"))?;
        let requester = self.requester.ok_or_else(|| missing("requester"))?;
        Ok(Command::Create {
            queue: self.queue.ok_or_else(|| missing("queue"))?,
            subject: within(subject, "subject", SUBJECT_BYTES_MAX)?,
            requester: within(requester, "requester", REQUESTER_BYTES_MAX)?,
            text: self.text("create")?,
            priority: self.priority.unwrap_or_default(),
            follow_up_of: self.follow_up_of,
            details: self.details(),
        })
    }

    fn details(&self) -> Details<'a> {
        Details {
            tags: self.tags,
            fields: self.fields,
            followers: self.followers,
            due_at: self.due_at,
            channel: self.channel,
            requester_id: self.requester_id,
        }
    }

    fn set(&self) -> Result<Command<'a>, CommandError> {
        const TAKES: &str = "subject, priority, queue, status, tags, fields, followers, due_at, channel, requester_id, \
                             expect, fence";
        const ALLOWED: [&str; 12] = [
            "subject",
            "priority",
            "queue",
            "status",
            "tags",
            "fields",
            "followers",
            "due_at",
            "channel",
            "requester_id",
            "expect",
            "fence",
        ];
        self.takes_only("set", TAKES, &ALLOWED)?;
        let details = self.details();
        if self.status.is_some() && self.queue.is_none() {
            return Err(CommandError::StatusWithoutQueue);
        }
        if self.subject.is_none() && self.priority.is_none() && self.queue.is_none() && details.is_empty() {
            return Err(CommandError::NothingToSet);
        }
        let subject =
            self.subject.map(|subject| within(subject, "subject", SUBJECT_BYTES_MAX)).transpose()?;
        Ok(Command::Set { subject, priority: self.priority, queue: self.queue, status: self.status, details })
    }

    fn link(&self, command: &'static str, state: LinkState) -> Result<Command<'a>, CommandError> {
        self.takes_only(command, "as, ticket", &["as", "ticket"])?;
        let name = self.link.ok_or(CommandError::MissingField { command, field: "as" })?.decode();
        let kind = LinkKind::from_name(&name)
            .ok_or_else(|| CommandError::UnknownLink(name.chars().take(40).collect()))?;
        let other = self.ticket.ok_or(CommandError::MissingField { command, field: "ticket" })?;
        Ok(Command::Link { kind, other, state })
    }

    fn split(&self) -> Result<Command<'a>, CommandError> {
        self.takes_only("split", "message, subject, queue", &["message", "subject", "queue"])?;
        let missing = |field| CommandError::MissingField { command: "split", field };
        let subject = self.subject.ok_or_else(|| missing("subject"))?;
        Ok(Command::Split {
            message: self.message.ok_or_else(|| missing("message"))?,
            subject: within(subject, "subject", SUBJECT_BYTES_MAX)?,
            queue: self.queue,
        })
    }

    fn text(&self, command: &'static str) -> Result<JsonText<'a>, CommandError> {
        let text = self.text.ok_or(CommandError::MissingField { command, field: "text" })?;
        within(text, "text", TEXT_BYTES_MAX)
    }

    fn takes_only(
        &self,
        command: &'static str,
        takes: &'static str,
        allowed: &[&'static str],
    ) -> Result<(), CommandError> {
        let given = [
            ("subject", self.subject.is_some()),
            ("requester", self.requester.is_some()),
            ("text", self.text.is_some()),
            ("status", self.status.is_some()),
            ("to", self.to.is_some()),
            ("priority", self.priority.is_some()),
            ("queue", self.queue.is_some()),
            ("agent", self.agent.is_some()),
            ("follow_up_of", self.follow_up_of.is_some()),
            ("tags", self.tags.is_some()),
            ("fields", self.fields.is_some()),
            ("followers", self.followers.is_some()),
            ("due_at", self.due_at.is_some()),
            ("channel", self.channel.is_some()),
            ("requester_id", self.requester_id.is_some()),
            ("seen", self.seen.is_some()),
            ("force", self.force.is_some()),
            ("as", self.link.is_some()),
            ("ticket", self.ticket.is_some()),
            ("into", self.into.is_some()),
            ("message", self.message.is_some()),
            ("expect", self.expect.is_some()),
            ("fence", self.fence.is_some()),
        ];
        match given.into_iter().find(|(field, is_given)| *is_given && !allowed.contains(field)) {
            Some((field, _)) => Err(CommandError::ExtraField { command, field, takes }),
            None => Ok(()),
        }
    }
}

impl Command<'_> {
    /// Its `type` on the wire.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Create { .. } => "create",
            Self::Message { .. } => "message",
            Self::Reply { .. } => "reply",
            Self::Note { .. } => "note",
            Self::Set { .. } => "set",
            Self::Move { .. } => "move",
            Self::Claim => "claim",
            Self::Release => "release",
            Self::Assign { .. } => "assign",
            Self::Link { state: LinkState::There, .. } => "link",
            Self::Link { state: LinkState::Gone, .. } => "unlink",
            Self::Merge { .. } => "merge",
            Self::Split { .. } => "split",
            Self::Attach { .. } => "attach",
            Self::Settle(_) => "settle",
        }
    }

    /// What admission needs to know of it, for a ticket in status `at`; `None` for create, which has no ticket to
    /// be admitted on.
    ///
    /// # Errors
    /// Where it names a status that the ticket's lifecycle, or its new queue's, does not have.
    pub fn intent(&self, lifecycles: &Lifecycles, at: Status) -> Result<Option<Intent>, UnknownStatus> {
        let beside = |name: &JsonText<'_>| {
            let decoded = name.decode();
            let unknown = || unknown(lifecycles, lifecycles.of(lifecycles.current(at)), &decoded);
            lifecycles.beside(at, &decoded).ok_or_else(unknown)
        };
        Ok(Some(match self {
            Self::Create { .. } => return Ok(None),
            Self::Message { .. } => Intent::Message,
            Self::Reply { status, .. } => Intent::Reply { status: status.as_ref().map(beside).transpose()? },
            Self::Note { .. } => Intent::Note,
            Self::Set { queue, status, .. } => {
                let lifecycle = queue.map(|queue| lifecycles.of_queue(queue));
                let status = match (lifecycle, status) {
                    (Some(lifecycle), Some(name)) => Some(named(lifecycles, lifecycle, name)?),
                    _ => None,
                };
                Intent::Set { needs: self.needs(), into: lifecycle.map(Lifecycle::id), status }
            }
            Self::Move { to } => Intent::Move { to: beside(to)? },
            Self::Claim => Intent::Claim,
            Self::Release => Intent::Release,
            Self::Assign { agent } => Intent::Assign { agent: *agent },
            Self::Attach { .. } => Intent::Note,
            Self::Link { .. } | Self::Split { .. } => Intent::Link,
            Self::Merge { .. } => Intent::Merge,
            Self::Settle(Settle { from, to }) => Intent::Settle { from: *from, to: *to },
        }))
    }

    /// The rights that it needs in its ticket's queue, apart from those of the edge that it takes. Creating a
    /// ticket needs them in the queue that it names, and so does moving one there.
    #[must_use]
    pub fn needs(&self) -> Rights {
        match *self {
            Self::Create { .. } => Rights::one(Right::Create),
            Self::Set { subject, priority, queue, details, .. } => {
                let edits = subject.is_some() || priority.is_some() || !details.is_empty();
                let edit = edits.then_some(Right::Edit);
                edit.into_iter().chain(queue.map(|_| Right::MoveQueue)).collect()
            }
            Self::Message { .. } => Intent::Message.needs(),
            Self::Reply { .. } => Intent::Reply { status: None }.needs(),
            Self::Note { .. } | Self::Attach { .. } => Intent::Note.needs(),
            Self::Claim => Intent::Claim.needs(),
            Self::Assign { agent } => Intent::Assign { agent }.needs(),
            Self::Link { .. } | Self::Split { .. } | Self::Merge { .. } => Rights::one(Right::Merge),
            Self::Move { .. } | Self::Release | Self::Settle(_) => Rights::NONE,
        }
    }

    /// Whether it overwrites what somebody else may have changed, so that its author must say which
    /// version he saw, or that he does not care.
    #[must_use]
    pub fn overwrites(&self) -> bool {
        matches!(self, Self::Set { .. } | Self::Move { .. } | Self::Assign { .. } | Self::Merge { .. })
    }
}

fn named(
    lifecycles: &Lifecycles,
    lifecycle: &Lifecycle,
    name: &JsonText<'_>,
) -> Result<Status, UnknownStatus> {
    let name = name.decode();
    lifecycles.find(lifecycle, &name).ok_or_else(|| unknown(lifecycles, Some(lifecycle), &name))
}

fn unknown(lifecycles: &Lifecycles, lifecycle: Option<&Lifecycle>, name: &str) -> UnknownStatus {
    let statuses = lifecycle.map(Lifecycle::statuses).unwrap_or_default();
    UnknownStatus {
        name: name.chars().take(40).collect(),
        lifecycle: lifecycle.map(|lifecycle| lifecycle.name().to_owned()).unwrap_or_default(),
        expected: statuses.iter().map(|status| lifecycles.name(*status).to_owned()).collect(),
    }
}

fn within<'a>(text: JsonText<'a>, field: &'static str, limit: usize) -> Result<JsonText<'a>, CommandError> {
    match text.decoded_bytes() {
        bytes if bytes > limit => Err(CommandError::TextTooLong { field, bytes, limit }),
        _ if text.is_blank() => Err(CommandError::BlankText { field }),
        _ => Ok(text),
    }
}

impl Refusal {
    /// Stable code of the error, as in `docs/ERRORS.md`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::StaleVersion { .. } => "stale_version",
            Self::StaleFence { .. } => "stale_fence",
            Self::FenceRequired => "fence_required",
            Self::NotHolder => "not_holder",
            Self::AlreadyClaimed => "already_claimed",
            Self::NotClaimed => "not_claimed",
            Self::Closed => "ticket_closed",
            Self::NoEdge { .. } => "forbidden_edge",
            Self::Unmet(_) => "guard_unmet",
            Self::NoStatus { .. } => "status_required",
            Self::Settled => "stale_version",
            Self::NeedsRight(Right::Administer) => "needs_admin",
            Self::NeedsRight(_) => "forbidden",
            Self::NeedsAgent => "needs_agent",
            Self::Exhausted { .. } => "ticket_exhausted",
        }
    }
}
