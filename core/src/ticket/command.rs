//! Commands as they arrive: parsed in place, fields borrowed from the received bytes.

use serde::{Deserialize, Serialize};

use super::lifecycle::{Lifecycle, Lifecycles, Status};
use super::{Details, Feedback, Intent, LinkKind, LinkState, Origin, Refusal};
use crate::id::{AgentId, Fence, QueueId, TicketId, Version};
use crate::json::JsonText;
use crate::limits::COMMAND_BYTES_MAX;
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
        /// At most [`SUBJECT_BYTES_MAX`](crate::limits::SUBJECT_BYTES_MAX).
        subject: JsonText<'a>,
        /// At most [`REQUESTER_BYTES_MAX`](crate::limits::REQUESTER_BYTES_MAX).
        requester: JsonText<'a>,
        /// The first message; at most [`TEXT_BYTES_MAX`](crate::limits::TEXT_BYTES_MAX).
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
        /// At most [`TEXT_BYTES_MAX`](crate::limits::TEXT_BYTES_MAX).
        text: JsonText<'a>,
    },
    /// A public reply.
    Reply {
        /// At most [`TEXT_BYTES_MAX`](crate::limits::TEXT_BYTES_MAX).
        text: JsonText<'a>,
        /// The status that it leaves, of the ticket's lifecycle.
        status: Option<JsonText<'a>>,
        /// The version that its author saw, where it shall not be sent if something was said since.
        seen: Option<Version>,
        /// What it was made of.
        origin: Origin<'a>,
    },
    /// An internal note.
    Note {
        /// At most [`TEXT_BYTES_MAX`](crate::limits::TEXT_BYTES_MAX).
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
    /// Takes the ticket out of sight.
    Delete,
    /// Brings it back.
    Restore,
    /// Makes a new ticket of one of its messages.
    Split {
        /// The version that the message made.
        message: Version,
        /// What the new ticket is about.
        subject: JsonText<'a>,
        /// Where it waits; where not said, where this one does.
        queue: Option<QueueId>,
    },
    /// What became of a suggestion.
    Feedback(Feedback),
    /// What a customer's message wants.
    Label {
        /// The version that the message made.
        message: Version,
        /// An intent's name, at most [`INTENT_NAME_BYTES_MAX`](crate::limits::INTENT_NAME_BYTES_MAX); none where it is
        /// none of those that are known.
        intent: Option<JsonText<'a>>,
    },
    /// What concerns the assistant of the whole tenant, on [`TicketId::TENANT`]. It comes from the gateway itself: nobody
    /// else can say so.
    Teach {
        /// What is taught: a JSON object, at most [`TEACHING_BYTES_MAX`](crate::limits::TEACHING_BYTES_MAX).
        teaching: &'a str,
    },
    /// A file that has been stored. It comes from the gateway itself: nobody else can say so.
    Attach {
        /// What it is: a JSON object.
        attachment: &'a str,
    },
    /// Waggle's own, when a person is erased: nobody sends it.
    Erase,
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
        "unknown command type {0:?}; expected one of create, message, reply, note, set, move, claim, release, assign, link, unlink, merge, split, delete, restore, feedback, label"
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

/// What a set command may change.
const SET_FIELDS: &str = "subject, priority, queue, tags, fields, followers, due_at, channel, requester_id";

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
            Self::Delete => "delete",
            Self::Restore => "restore",
            Self::Feedback(_) => "feedback",
            Self::Label { .. } => "label",
            Self::Teach { .. } => "teach",
            Self::Attach { .. } => "attach",
            Self::Erase => "erase",
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
            Self::Delete => Intent::Delete,
            Self::Restore => Intent::Restore,
            Self::Erase => Intent::Erase,
            Self::Feedback(_) | Self::Label { .. } => Intent::Feedback,
            Self::Teach { .. } => Intent::Teach,
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
            Self::Delete | Self::Restore => Rights::one(Right::Delete),
            Self::Feedback(_) | Self::Label { .. } => Intent::Feedback.needs(),
            Self::Teach { .. } => Intent::Teach.needs(),
            Self::Move { .. } | Self::Release | Self::Settle(_) | Self::Erase => Rights::NONE,
        }
    }

    /// Whether it overwrites what somebody else may have changed, so that its author must say which
    /// version he saw, or that he does not care.
    #[must_use]
    pub fn overwrites(&self) -> bool {
        matches!(
            self,
            Self::Set { .. } | Self::Move { .. } | Self::Assign { .. } | Self::Merge { .. } | Self::Delete
        )
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
            Self::Deleted => "ticket_deleted",
            Self::NotDeleted => "not_deleted",
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
