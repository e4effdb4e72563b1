//! `wagglectl suggest …` and `wagglectl learn …`: the assistant.

use clap::{Args, Subcommand, ValueEnum};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use waggle_client::Suggestion;
use waggle_core::id::{Offset, QueueId, TicketId, Version};

use super::args::{Format, Global};
use super::failure::{Exit, Failure};
use super::render::plain;
use super::speak::print;
use super::ticket::{Desk, query, read};

/// Which ticket, and which of its messages.
#[derive(Debug, Args)]
pub(crate) struct SuggestArgs {
    ticket: TicketId,
    /// The version of the customer's message; the newest that waits for an answer where not given
    #[arg(long)]
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
    /// Show how its model stands
    Show {
        /// With the SHA-256 of the model, which takes the gateway a moment
        #[arg(long)]
        digest: bool,
    },
    /// List the intents that it knows
    Intents,
    /// Tell it of an intent (an administrator's token, as for all that follow but label and feedback)
    Create { intent: String },
    /// Give an intent another name
    Rename { intent: String, to: String },
    /// Fold an intent into another one
    Merge { intent: String, into: String },
    /// Make it forget an intent
    Remove { intent: String },
    /// Say what it may do in a queue
    Mode {
        queue: QueueId,
        #[arg(value_enum)]
        mode: ModeName,
        /// The share of answers that shall be right
        #[arg(long, default_value_t = 0.9)]
        precision: f32,
        /// Automatic replies of one ticket, at most
        #[arg(long, default_value_t = 1)]
        per_ticket: u32,
        /// Automatic replies of the queue within an hour, at most
        #[arg(long, default_value_t = 20)]
        per_hour: u32,
    },
    /// Go back to the model as it was at an event
    Rollback { offset: Offset },
    /// Make the challenger the champion
    Promote { recipe: Option<String> },
    /// Never promote a recipe
    Bar { recipe: String },
    /// Let a recipe be promoted again
    Allow { recipe: String },
    /// Tell what a customer's message wants
    Label {
        ticket: TicketId,
        message: Version,
        /// None of the known ones where not given
        intent: Option<String>,
    },
    /// Tell what became of a suggestion
    Feedback {
        ticket: TicketId,
        message: Version,
        reply: u64,
        /// The version of the model that suggested it
        model: Offset,
        #[arg(value_enum)]
        verdict: VerdictName,
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
        Format::Human => card(&read(raw.get().as_bytes())?),
    };
    print(told.as_bytes())?;
    Ok(Exit::Ok)
}

fn card(told: &Suggestion) -> String {
    let wanted = told.intent.as_ref().map_or("not known".to_owned(), |intent| {
        format!("{} ({:.0} %)", plain(&intent.name), intent.confidence * 100.0)
    });
    let mut out =
        format!("message    {}\nwanted     {wanted}\nwhy        {}\n", told.message, plain(&told.why));
    for reply in &told.replies {
        let lines: String = reply.text.lines().map(|line| format!("  {}\n", plain(line))).collect();
        out.push_str(&format!("\nreply {} (model {})\n{lines}", reply.id, told.model.version));
    }
    out
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
        LearnTask::Feedback { ticket, message, reply, model, verdict } => {
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
        Format::Human => overview(&read(raw.get().as_bytes())?),
    };
    print(told.as_bytes())?;
    Ok(Exit::Ok)
}

fn overview(learn: &Value) -> String {
    let of = |pointer: &str| match learn.pointer(pointer) {
        None | Some(Value::Null) => "-".to_owned(),
        Some(Value::String(text)) => plain(text).into_owned(),
        Some(other) => other.to_string(),
    };
    let intents = learn.pointer("/report/intents").and_then(Value::as_array).map_or(0, Vec::len);
    format!(
        "version    {} ({})\nposition   {} of {}, {} behind\ndigest     {}\nfile       {} {}\nlessons    {}\nintents    {intents}\naccuracy   {}\n",
        of("/version"),
        of("/recipe"),
        of("/position"),
        of("/head"),
        of("/behind"),
        of("/digest"),
        of("/snapshot/state"),
        of("/snapshot/offset"),
        of("/report/lessons"),
        of("/report/champion/accuracy_1000"),
    )
}

async fn intents(desk: &Desk) -> Result<Exit, Failure> {
    let learn: Value = desk.get("/v1/learn").await?;
    let empty = Vec::new();
    let intents = learn.pointer("/report/intents").and_then(Value::as_array).unwrap_or(&empty);
    let line = |intent: &Value| {
        let name = intent.get("name").and_then(Value::as_str).unwrap_or_default();
        let number = |member: &str| intent.get(member).map_or("-".to_owned(), Value::to_string);
        format!(
            "{:<40} seen {:>6}  precision {:<6} recall {}\n",
            plain(name),
            number("lessons"),
            number("precision"),
            number("recall")
        )
    };
    let told: String = match desk.format {
        Format::Json => intents.iter().map(|intent| format!("{intent}\n")).collect(),
        Format::Human => intents.iter().map(line).collect(),
    };
    print(told.as_bytes())?;
    Ok(Exit::Ok)
}
