//! `wagglectl suggest …` and `wagglectl learn …`: the assistant.

use clap::{Args, Subcommand, ValueEnum};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use waggle_core::id::{Offset, QueueId, TicketId, Version};

use super::args::{Format, Global, Origin};
use super::failure::{Exit, Failure};
use super::learned;
use super::speak::print;
use super::ticket::{Desk, query, read};

/// Which ticket, and which of its messages.
#[derive(Debug, Args)]
pub(crate) struct SuggestArgs {
    /// The ticket
    ticket: TicketId,
    /// The version of the customer's message; the newest that waits for an answer where not given
    #[arg(long, value_name = "VERSION")]
    message: Option<Version>,
}

/// What the assistant may do in a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ModeName {
    /// Nothing; it learns all the same
    Off,
    /// Suggest replies to agents
    Suggest,
    /// Reply by itself, too
    Auto,
}

/// What became of a suggestion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum VerdictName {
    /// It was sent as it was
    Accepted,
    /// It was sent with changes
    Edited,
    /// It was not what the customer needs
    Rejected,
}

/// What to do with the assistant.
#[derive(Debug, Subcommand)]
pub(crate) enum LearnTask {
    /// Show how its model stands (a token that sees all queues)
    Show {
        /// With the SHA-256 of the model, which takes the gateway a moment
        #[arg(long)]
        digest: bool,
    },
    /// List the intents that it knows (a token that sees all queues)
    Intents,
    /// Tell what a customer's message wants
    Label {
        /// The message's ticket
        ticket: TicketId,
        /// The version that the message made
        message: Version,
        /// The intent's name; none of the known ones where not given
        intent: Option<String>,
    },
    /// Tell what became of a suggestion, where no reply was made of it: for that there is ticket reply --suggestion
    Feedback {
        /// The message's ticket
        ticket: TicketId,
        /// The version that the message made
        message: Version,
        /// The suggested reply, as `suggest` shows it
        #[arg(value_name = "REPLY:MODEL")]
        suggestion: Origin,
        /// What became of it
        #[arg(value_enum)]
        verdict: VerdictName,
    },
    /// Tell it of an intent (an administrator's token, as for all that follow)
    Create {
        /// The intent's name
        intent: String,
    },
    /// Give an intent another name
    Rename {
        /// The name that it has
        intent: String,
        /// The name that it shall have
        to: String,
    },
    /// Fold an intent into another one
    Merge {
        /// The intent that goes
        intent: String,
        /// The one that gets what was learned of it
        into: String,
    },
    /// Make it forget an intent
    Remove {
        /// The intent's name
        intent: String,
    },
    /// Say what it may do in a queue
    Mode {
        /// The queue
        queue: QueueId,
        /// What it may do
        #[arg(value_enum)]
        mode: ModeName,
        /// The share of answers that shall be right, from 0.5 to 0.999; not for off
        #[arg(long, default_value_t = 0.9, value_name = "SHARE")]
        precision: f32,
        /// Automatic replies of one ticket, at most; for auto
        #[arg(long, default_value_t = 1, value_name = "N")]
        per_ticket: u32,
        /// Automatic replies of the queue within an hour, at most; for auto
        #[arg(long, default_value_t = 20, value_name = "N")]
        per_hour: u32,
    },
    /// Go back to the model as it was at an event: what it learned since is left out for ever
    Rollback {
        /// The event's offset
        offset: Offset,
    },
    /// Make the challenger the champion
    Promote {
        /// The challenger's recipe: refused where it is another one
        recipe: Option<String>,
    },
    /// Never promote a recipe
    Bar {
        /// Its name
        recipe: String,
    },
    /// Let a recipe be promoted again
    Allow {
        /// Its name
        recipe: String,
    },
}

/// What to answer a customer.
pub(crate) async fn suggest(global: &Global, args: &SuggestArgs) -> Result<Exit, Failure> {
    let desk = Desk::new(global)?;
    let message = [("message", args.message.map(|message| message.to_string()))];
    let path = format!("/v1/tickets/{}/suggestions?{}", args.ticket, query(message.into_iter()));
    let raw: Box<RawValue> = desk.get(path.trim_end_matches('?')).await?;
    let told = match desk.format {
        Format::Json => format!("{raw}\n"),
        Format::Human => learned::card(&read(raw.get().as_bytes())?),
    };
    print(told.as_bytes())?;
    Ok(Exit::Ok)
}

/// Shows the assistant, or teaches it.
pub(crate) async fn run(global: &Global, task: LearnTask) -> Result<Exit, Failure> {
    let desk = Desk::new(global)?;
    let teaching = match task {
        LearnTask::Show { digest } => return show(&desk, digest).await,
        LearnTask::Intents => return intents(&desk).await,
        LearnTask::Label { ticket, message, intent } => {
            let body = json!({"type": "label", "message": message, "intent": intent});
            return desk.post(format!("/v1/tickets/{ticket}/commands"), &body, None).await;
        }
        LearnTask::Feedback { ticket, message, suggestion: Origin { reply, model }, verdict } => {
            let body = json!({
                "type": "feedback", "message": message, "reply": reply, "model": model, "verdict": name(verdict),
            });
            return desk.post(format!("/v1/tickets/{ticket}/commands"), &body, None).await;
        }
        LearnTask::Create { intent } => json!({"teach": "create", "name": intent}),
        LearnTask::Rename { intent, to } => json!({"teach": "rename", "name": intent, "to": to}),
        LearnTask::Merge { intent, into } => json!({"teach": "merge", "name": intent, "into": into}),
        LearnTask::Remove { intent } => json!({"teach": "remove", "name": intent}),
        LearnTask::Rollback { offset } => json!({"teach": "rollback", "to": offset}),
        LearnTask::Promote { recipe } => json!({"teach": "promote", "recipe": recipe}),
        LearnTask::Bar { recipe } => json!({"teach": "bar", "recipe": recipe}),
        LearnTask::Allow { recipe } => json!({"teach": "allow", "recipe": recipe}),
        LearnTask::Mode { queue, mode, precision, per_ticket, per_hour } => {
            let mut body = json!({"teach": "mode", "queue": queue, "mode": name(mode)});
            let mut more = Map::new();
            if mode != ModeName::Off {
                more.insert("precision".to_owned(), short(precision));
            }
            if mode == ModeName::Auto {
                more.insert("per_ticket".to_owned(), per_ticket.into());
                more.insert("per_hour".to_owned(), per_hour.into());
            }
            if let Some(members) = body.as_object_mut() {
                members.extend(more);
            }
            body
        }
    };
    desk.post("/v1/learn".to_owned(), &teaching, None).await
}

/// As it was typed, not with the digits that a wider number would show.
fn short(number: f32) -> Value {
    serde_json::from_str(&number.to_string()).unwrap_or(Value::Null)
}

fn name(value: impl ValueEnum) -> String {
    value.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

async fn show(desk: &Desk, digest: bool) -> Result<Exit, Failure> {
    let raw: Box<RawValue> = desk.get(&format!("/v1/learn?digest={digest}")).await?;
    let told = match desk.format {
        Format::Json => format!("{raw}\n"),
        Format::Human => learned::overview(&read(raw.get().as_bytes())?),
    };
    print(told.as_bytes())?;
    Ok(Exit::Ok)
}

/// The intents: a table, or a JSON object on each line.
async fn intents(desk: &Desk) -> Result<Exit, Failure> {
    let learn: Value = desk.get("/v1/learn").await?;
    let empty = Vec::new();
    let intents = learn.pointer("/report/intents").and_then(Value::as_array).unwrap_or(&empty);
    let told: String = match desk.format {
        Format::Json => intents.iter().map(|intent| format!("{intent}\n")).collect(),
        Format::Human => learned::intents(intents),
    };
    print(told.as_bytes())?;
    Ok(Exit::Ok)
}
