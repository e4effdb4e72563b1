//! Events: what a command becomes, as it is stored and as it is sent.

use bytes::Bytes;
use serde_json::{Map, Value};

use super::command::Command;
use super::lifecycle::{Lifecycles, Status};
use super::removal::{DELETED, ERASED, RESTORED};
use super::{Actor, Concerns, Followers, Origin, Patch, Priority, Suggested, Transition};
use crate::id::{AgentId, Fence, Offset, QueueId, TicketId, Version};
use crate::json::{push_literal, push_number};
use crate::time::Timestamp;

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The ticket came to be, with its first message.
    Created,
    /// The requester wrote.
    Message,
    /// An agent answered in public.
    Reply,
    /// An agent left a note for agents.
    Note,
    /// Fields have new values.
    Set,
    /// The status moved.
    Moved,
    /// An agent took it.
    Claimed,
    /// Its holder gave it back.
    Released,
    /// It was given to an agent.
    Assigned,
    /// A file was added.
    Attached,
    /// It was tied to another ticket, or untied.
    Linked,
    /// It was closed for another ticket, which goes on in its place.
    Merged,
    /// It was taken out of sight.
    Deleted,
    /// It was brought back.
    Restored,
    /// What people wrote in it is gone.
    Erased,
    /// An agent told what became of a suggested reply.
    Feedback,
    /// An agent told what a customer's message wants.
    Labelled,
    /// Something of the tenant's assistant has changed; an event of [`TicketId::TENANT`].
    Taught,
}

const KINDS: [(Kind, &str); 18] = [
    (Kind::Created, "created"),
    (Kind::Message, "message"),
    (Kind::Reply, "reply"),
    (Kind::Note, "note"),
    (Kind::Set, "set"),
    (Kind::Moved, "moved"),
    (Kind::Claimed, "claimed"),
    (Kind::Released, "released"),
    (Kind::Assigned, "assigned"),
    (Kind::Attached, "attached"),
    (Kind::Linked, "linked"),
    (Kind::Merged, "merged"),
    (Kind::Deleted, "deleted"),
    (Kind::Restored, "restored"),
    (Kind::Erased, "erased"),
    (Kind::Feedback, "feedback"),
    (Kind::Labelled, "labelled"),
    (Kind::Taught, "taught"),
];

impl Kind {
    /// Its name on the wire and in storage.
    #[must_use]
    pub fn name(self) -> &'static str {
        KINDS.iter().find(|(kind, _)| *kind == self).map_or("?", |(_, name)| name)
    }

    /// The kind called `name`.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        KINDS.iter().find(|(_, known)| *known == name).map(|(kind, _)| *kind)
    }

    /// Whether its data has a `text` that people read.
    #[must_use]
    pub fn has_text(self) -> bool {
        matches!(self, Self::Created | Self::Message | Self::Reply | Self::Note)
    }
}

impl Actor {
    /// As on the wire and in storage: `agent:3`, `requester`, `system`.
    pub fn write_to(self, out: &mut Vec<u8>) {
        match self {
            Self::Agent(agent) => {
                out.extend_from_slice(b"agent:");
                push_number(out, u64::from(agent.0));
            }
            Self::Requester => out.extend_from_slice(b"requester"),
            Self::System => out.extend_from_slice(b"system"),
        }
    }

    /// The actor called `name`.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "requester" => Some(Self::Requester),
            "system" => Some(Self::System),
            _ => name.strip_prefix("agent:")?.parse().ok().map(Self::Agent),
        }
    }
}

/// Whose views an event belongs to: where the ticket is, and where it was if it left there with this
/// event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Route {
    /// Its queue after the event.
    pub queue: QueueId,
    /// Its queue before, where that was another.
    pub queue_from: Option<QueueId>,
    /// Who holds it after the event.
    pub agent: Option<AgentId>,
    /// Who held it before, where that was somebody else.
    pub agent_from: Option<AgentId>,
}

/// An admitted command on its way to storage: an event that has no offset yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEvent {
    /// Of which ticket.
    pub ticket: TicketId,
    /// The version that it makes.
    pub version: Version,
    /// What happened.
    pub kind: Kind,
    /// By whom.
    pub actor: Actor,
    /// When it was admitted.
    pub at: Timestamp,
    /// Status after it.
    pub status: Status,
    /// Status before it, where that was another.
    pub status_from: Option<Status>,
    /// Fence after it.
    pub fence: Fence,
    /// Who holds the ticket, where that changes.
    pub holder: Option<Option<AgentId>>,
    /// Its queue, where that changes.
    pub queue: Option<QueueId>,
    /// Its priority, where that changes.
    pub priority: Option<Priority>,
    /// What changes of the ticket beyond that: an RFC 7396 merge patch of its `extra` object, as JSON.
    pub patch: Option<Box<[u8]>>,
    /// Whom it concerns beyond those who follow the ticket already; most events nobody.
    pub concerns: Option<Box<Concerns>>,
    /// The `data` object of the event, as JSON.
    pub data: Vec<u8>,
}

impl NewEvent {
    /// Its status, where the event changes it.
    #[must_use]
    pub fn changed_status(&self) -> Option<Status> {
        (self.kind == Kind::Created || self.status_from.is_some()).then_some(self.status)
    }

    /// Its fence, where the event raises it.
    #[must_use]
    pub fn changed_fence(&self) -> Option<Fence> {
        self.holder.flatten().map(|_| self.fence)
    }

    /// The event with a change of the ticket's details, which its data shows, too.
    #[must_use]
    pub fn with_details(mut self, patch: &Patch) -> Self {
        if patch.is_empty() {
            return self;
        }
        let json = patch.to_json();
        self.append(&json);
        let follows: Vec<_> = patch.follows().collect();
        if !follows.is_empty() {
            self.concerns.get_or_insert_default().follows = follows;
        }
        self.patch = Some(json.into());
        self
    }

    /// The event with the agents whom its text names.
    #[must_use]
    pub fn with_mentions(mut self, agents: Vec<AgentId>) -> Self {
        if agents.is_empty() {
            return self;
        }
        let set: Map<String, Value> = agents.iter().map(|agent| (agent.to_string(), true.into())).collect();
        self.append(&Patch::of("mentions", Value::Object(set)).to_json());
        self.concerns.get_or_insert_default().mentions = agents;
        self
    }

    /// Puts the members of a JSON object behind those of the data.
    fn append(&mut self, json: &[u8]) {
        // Both are objects: the members of one go behind those of the other.
        let members = json.get(1..).unwrap_or_default();
        self.data.pop();
        if self.data.len() > 1 {
            self.data.push(b',');
        }
        self.data.extend_from_slice(members);
    }

    /// The first event of a new ticket. `command` must be a create.
    #[must_use]
    pub fn created(
        lifecycles: &Lifecycles,
        ticket: TicketId,
        command: &Command<'_>,
        actor: Actor,
        at: Timestamp,
    ) -> Option<Self> {
        let Command::Create { queue, subject, requester, text, priority, follow_up_of, .. } = command else {
            return None;
        };
        let status = lifecycles.of_queue(*queue).initial();
        let literals = subject.literal().len() + requester.literal().len() + text.literal().len();
        let mut data = Data::with_capacity(literals + 128);
        data.number("queue", u64::from(queue.0));
        data.literal("subject", subject.literal());
        data.literal("requester", requester.literal());
        data.text("priority", priority.name());
        data.text("status", lifecycles.name(status));
        if let Some(closed) = follow_up_of {
            data.number("follow_up_of", closed.0);
        }
        data.literal("text", text.literal());
        Some(Self {
            ticket,
            version: Version(1),
            kind: Kind::Created,
            actor,
            at,
            status,
            status_from: None,
            fence: Fence(0),
            holder: None,
            queue: Some(*queue),
            priority: Some(*priority),
            patch: None,
            concerns: None,
            data: data.finish(),
        })
    }

    /// The event that an admitted command becomes; `None` for create.
    #[must_use]
    pub fn admitted(
        lifecycles: &Lifecycles,
        ticket: TicketId,
        command: &Command<'_>,
        transition: &Transition,
        actor: Actor,
        at: Timestamp,
    ) -> Option<Self> {
        let mut data = match command {
            Command::Teach { teaching } => Data::of(teaching),
            _ => Data::with_capacity(96),
        };
        let mut queue_to = None;
        let mut priority_to = None;
        let mut patch = None;
        let kind = match command {
            Command::Create { .. } => return None,
            Command::Message { .. } => Kind::Message,
            Command::Reply { .. } => Kind::Reply,
            Command::Note { .. } => Kind::Note,
            Command::Set { subject, priority, queue, .. } => {
                if let Some(subject) = subject {
                    data.literal("subject", subject.literal());
                }
                if let Some(priority) = priority {
                    data.text("priority", priority.name());
                }
                if let Some(queue) = queue {
                    data.number("queue", u64::from(queue.0));
                }
                (queue_to, priority_to) = (*queue, *priority);
                Kind::Set
            }
            Command::Move { .. } | Command::Settle(_) => Kind::Moved,
            Command::Link { .. } | Command::Split { .. } => Kind::Linked,
            Command::Merge { .. } => Kind::Merged,
            Command::Delete => {
                data.literal("deleted", "true");
                patch = Some(DELETED.as_bytes().into());
                Kind::Deleted
            }
            Command::Restore => {
                data.literal("deleted", "null");
                patch = Some(RESTORED.as_bytes().into());
                Kind::Restored
            }
            Command::Erase => {
                data.literal("erased", "true");
                patch = Some(ERASED.as_bytes().into());
                Kind::Erased
            }
            Command::Feedback(_) => Kind::Feedback,
            Command::Label { .. } => Kind::Labelled,
            Command::Teach { .. } => Kind::Taught,
            Command::Claim => Kind::Claimed,
            Command::Release => Kind::Released,
            Command::Assign { .. } => Kind::Assigned,
            Command::Attach { attachment } => {
                data.literal("attachment", attachment);
                Kind::Attached
            }
        };
        if let Some(Some(agent)) = transition.holder {
            data.number("agent", u64::from(agent.0));
            data.number("fence", u64::from(transition.fence.0));
        }
        if transition.status_from != transition.status_to {
            data.text("from", lifecycles.name(transition.status_from));
            data.text("status", lifecycles.name(transition.status_to));
        }
        data.told(command);
        Some(Self {
            ticket,
            version: transition.version,
            kind,
            actor,
            at,
            status: transition.status_to,
            status_from: (transition.status_from != transition.status_to).then_some(transition.status_from),
            fence: transition.fence,
            holder: transition.holder,
            queue: queue_to,
            priority: priority_to,
            patch,
            concerns: None,
            data: data.finish(),
        })
    }
}

/// Builds a JSON object, field by field.
struct Data(Vec<u8>);

impl Data {
    fn with_capacity(bytes: usize) -> Self {
        let mut out = Vec::with_capacity(bytes);
        out.push(b'{');
        Self(out)
    }

    fn name(&mut self, name: &str) {
        if self.0.len() > 1 {
            self.0.push(b',');
        }
        push_literal(&mut self.0, name);
        self.0.push(b':');
    }

    fn number(&mut self, name: &str, number: u64) {
        self.name(name);
        push_number(&mut self.0, number);
    }

    fn text(&mut self, name: &str, text: &str) {
        self.name(name);
        push_literal(&mut self.0, text);
    }

    fn literal(&mut self, name: &str, literal: &str) {
        self.name(name);
        self.0.extend_from_slice(literal.as_bytes());
    }

    /// What is in a JSON object already.
    fn of(object: &str) -> Self {
        let object = object.trim();
        Self(object.strip_suffix('}').unwrap_or(object).as_bytes().to_vec())
    }

    /// What people say, and what they say of suggestions.
    fn told(&mut self, command: &Command<'_>) {
        match command {
            Command::Message { text } | Command::Note { text } => self.literal("text", text.literal()),
            Command::Reply { text, origin, .. } => {
                self.literal("text", text.literal());
                self.origin(origin);
            }
            Command::Feedback(feedback) => {
                self.number("message", u64::from(feedback.message.0));
                self.number("reply", feedback.suggested.reply);
                self.number("model", feedback.suggested.model.0);
                self.text("verdict", feedback.verdict.name());
            }
            Command::Label { message, intent } => {
                self.number("message", u64::from(message.0));
                self.literal("intent", intent.as_ref().map_or("null", |intent| intent.literal()));
            }
            _ => {}
        }
    }

    fn origin(&mut self, origin: &Origin<'_>) {
        if let Some(Suggested { model, reply }) = origin.suggestion {
            self.name("suggestion");
            self.0.extend_from_slice(b"{\"model\":");
            push_number(&mut self.0, model.0);
            self.0.extend_from_slice(b",\"reply\":");
            push_number(&mut self.0, reply);
            self.0.push(b'}');
        }
        if let Some(name) = &origin.made_with {
            self.literal("macro", name.literal());
        }
        if origin.is_automatic {
            self.literal("automatic", "true");
        }
    }

    fn finish(mut self) -> Vec<u8> {
        self.0.push(b'}');
        self.0
    }
}

/// An event as it is in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredEvent {
    /// Its place in the tenant's log.
    pub offset: Offset,
    /// Of which ticket.
    pub ticket: TicketId,
    /// The version that it made.
    pub version: Version,
    /// What happened.
    pub kind: Kind,
    /// By whom.
    pub actor: Actor,
    /// When.
    pub at: Timestamp,
    /// Whose views it belongs to.
    pub route: Route,
    /// Whom it concerns besides.
    pub followers: Followers,
    /// The `data` object, as JSON.
    pub data: String,
}

/// A committed event, ready to be sent: one WebSocket frame, the same bytes for every recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its place in the tenant's log.
    pub offset: Offset,
    /// Of which ticket.
    pub ticket: TicketId,
    /// The version that it made.
    pub version: Version,
    /// Whose views it belongs to.
    pub route: Route,
    /// Whom it concerns besides.
    pub followers: Followers,
    /// A whole unmasked text frame (RFC 6455 section 5.2).
    pub frame: Bytes,
    /// Length of the frame's header: 2, 4 or 10 bytes.
    pub header_bytes: u8,
}

impl Entry {
    /// Encodes a committed event once.
    #[must_use]
    pub fn encode(offset: Offset, event: &NewEvent, route: Route, followers: Followers) -> Self {
        let head = Head {
            offset,
            ticket: event.ticket,
            version: event.version,
            kind: event.kind,
            actor: event.actor,
            at: event.at,
        };
        head.encode(route, followers, &event.data)
    }

    /// Encodes an event read back from the log: the same bytes as when it was committed.
    #[must_use]
    pub fn from_stored(event: &StoredEvent) -> Self {
        let head = Head {
            offset: event.offset,
            ticket: event.ticket,
            version: event.version,
            kind: event.kind,
            actor: event.actor,
            at: event.at,
        };
        head.encode(event.route, event.followers.clone(), event.data.as_bytes())
    }

    /// What happened, as its JSON text says; `None` for a kind that this version does not know.
    #[must_use]
    pub fn kind(&self) -> Option<Kind> {
        // In front of it are numbers only: see `Head::encode`.
        const MEMBER: &[u8] = br#""kind":""#;
        let json = self.frame.get(usize::from(self.header_bytes)..)?;
        let start = json.windows(MEMBER.len()).position(|window| window == MEMBER)? + MEMBER.len();
        let rest = json.get(start..)?;
        let end = rest.iter().position(|byte| *byte == b'"')?;
        Kind::from_name(std::str::from_utf8(rest.get(..end)?).ok()?)
    }

    /// The JSON text of the event message: what a command's author gets as the answer, too.
    #[must_use]
    pub fn json(&self) -> Bytes {
        self.frame.slice(usize::from(self.header_bytes).min(self.frame.len())..)
    }
}

struct Head {
    offset: Offset,
    ticket: TicketId,
    version: Version,
    kind: Kind,
    actor: Actor,
    at: Timestamp,
}

impl Head {
    fn encode(&self, route: Route, followers: Followers, data: &[u8]) -> Entry {
        // The header is written last, right before the JSON, when its length is known.
        const HEADER_BYTES_MAX: usize = 10;
        let mut out = Vec::with_capacity(HEADER_BYTES_MAX + 160 + data.len());
        out.extend_from_slice(&[0; HEADER_BYTES_MAX]);
        out.extend_from_slice(br#"{"type":"event","offset":"#);
        push_number(&mut out, self.offset.0);
        out.extend_from_slice(br#","ticket":"#);
        push_number(&mut out, self.ticket.0);
        out.extend_from_slice(br#","version":"#);
        push_number(&mut out, u64::from(self.version.0));
        out.extend_from_slice(br#","kind":""#);
        out.extend_from_slice(self.kind.name().as_bytes());
        out.extend_from_slice(br#"","at":"#);
        push_number(&mut out, self.at.0);
        out.extend_from_slice(br#","actor":""#);
        self.actor.write_to(&mut out);
        out.extend_from_slice(br#"","data":"#);
        out.extend_from_slice(data);
        out.push(b'}');
        let (header, header_bytes) = crate::push::text_frame_header(out.len() - HEADER_BYTES_MAX);
        let start = HEADER_BYTES_MAX - usize::from(header_bytes);
        out[start..HEADER_BYTES_MAX].copy_from_slice(&header[..usize::from(header_bytes)]);
        Entry {
            offset: self.offset,
            ticket: self.ticket,
            version: self.version,
            route,
            followers,
            frame: Bytes::from(out).slice(start..),
            header_bytes,
        }
    }
}
