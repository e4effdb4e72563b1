//! Commands out of JSON: in place, nothing allocated.

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::command::{Command, CommandError, Expect, Priority, Request};
use super::{Details, Feedback, LinkKind, LinkState, Origin, Suggested, Verdict};
use crate::id::{AgentId, Fence, Offset, QueueId, TicketId, Version};
use crate::json::JsonText;
use crate::limits::{
    COMMAND_BYTES_MAX, INTENT_NAME_BYTES_MAX, REQUESTER_BYTES_MAX, SUBJECT_BYTES_MAX, TEXT_BYTES_MAX,
};

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
    suggestion: Option<Suggested>,
    #[serde(borrow, rename = "macro")]
    made_with: Option<JsonText<'a>>,
    reply: Option<u64>,
    model: Option<Offset>,
    verdict: Option<Verdict>,
    #[serde(borrow, default, deserialize_with = "named")]
    intent: Option<Option<JsonText<'a>>>,
    expect: Option<Version>,
    fence: Option<Fence>,
}

/// A value that is there, be it `null`.
fn given<'de: 'a, 'a, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'a RawValue>, D::Error> {
    <&'de RawValue>::deserialize(deserializer).map(Some)
}

/// A text that is there, be it `null`.
fn named<'de: 'a, 'a, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Option<JsonText<'a>>>, D::Error> {
    Option::<JsonText<'a>>::deserialize(deserializer).map(Some)
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
            "reply" => self.reply()?,
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
            "delete" => {
                self.takes_only("delete", "expect", &["expect"])?;
                Command::Delete
            }
            "feedback" => self.feedback()?,
            "label" => self.label()?,
            "restore" => {
                self.takes_only("restore", "expect", &["expect"])?;
                Command::Restore
            }
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

    fn reply(&self) -> Result<Command<'a>, CommandError> {
        const TAKES: &str = "text, status, seen, force, suggestion, macro, expect, fence";
        const ALLOWED: [&str; 8] =
            ["text", "status", "seen", "force", "suggestion", "macro", "expect", "fence"];
        self.takes_only("reply", TAKES, &ALLOWED)?;
        let seen = self.seen.filter(|_| self.force != Some(true));
        let made_with =
            self.made_with.map(|name| within(name, "macro", INTENT_NAME_BYTES_MAX)).transpose()?;
        let origin = Origin { suggestion: self.suggestion, made_with, is_automatic: false };
        Ok(Command::Reply { text: self.text("reply")?, status: self.status, seen, origin })
    }

    fn feedback(&self) -> Result<Command<'a>, CommandError> {
        const FIELDS: [&str; 5] = ["message", "reply", "model", "verdict", "expect"];
        self.takes_only("feedback", "message, reply, model, verdict, expect", &FIELDS)?;
        let missing = |field| CommandError::MissingField { command: "feedback", field };
        let model = self.model.ok_or_else(|| missing("model"))?;
        let reply = self.reply.ok_or_else(|| missing("reply"))?;
        Ok(Command::Feedback(Feedback {
            message: self.message.ok_or_else(|| missing("message"))?,
            suggested: Suggested { model, reply },
            verdict: self.verdict.ok_or_else(|| missing("verdict"))?,
        }))
    }

    fn label(&self) -> Result<Command<'a>, CommandError> {
        self.takes_only("label", "message, intent, expect", &["message", "intent", "expect"])?;
        let missing = |field| CommandError::MissingField { command: "label", field };
        let intent = self.intent.ok_or_else(|| missing("intent"))?;
        Ok(Command::Label {
            message: self.message.ok_or_else(|| missing("message"))?,
            intent: intent.map(|name| within(name, "intent", INTENT_NAME_BYTES_MAX)).transpose()?,
        })
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
            ("suggestion", self.suggestion.is_some()),
            ("macro", self.made_with.is_some()),
            ("reply", self.reply.is_some()),
            ("model", self.model.is_some()),
            ("verdict", self.verdict.is_some()),
            ("intent", self.intent.is_some()),
            ("expect", self.expect.is_some()),
            ("fence", self.fence.is_some()),
        ];
        match given.into_iter().find(|(field, is_given)| *is_given && !allowed.contains(field)) {
            Some((field, _)) => Err(CommandError::ExtraField { command, field, takes }),
            None => Ok(()),
        }
    }
}

fn within<'a>(text: JsonText<'a>, field: &'static str, limit: usize) -> Result<JsonText<'a>, CommandError> {
    match text.decoded_bytes() {
        bytes if bytes > limit => Err(CommandError::TextTooLong { field, bytes, limit }),
        _ if text.is_blank() => Err(CommandError::BlankText { field }),
        _ => Ok(text),
    }
}
