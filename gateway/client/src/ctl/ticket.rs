//! `wagglectl ticket …`: over the HTTP API.

use std::io::{IsTerminal, Read};

use hyper::Method;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use waggle_client::EventMessage;
use waggle_core::id::{AgentId, Fence, QueueId, TicketId, Version};
use waggle_core::limits::{API_ATTEMPTS_MAX, PAGE_ROWS_MAX, TEXT_BYTES_MAX};

use super::api::{Api, Ask, random_key};
use super::args::{Basis, Format, Global, Origin, TicketTask};
use super::failure::{Exit, Failure};
use super::render::{Look, cut, event_line, plain};
use super::speak::{notice, print};

/// Messages of one ticket that `show` reads.
const MESSAGES_MAX: usize = 10_000;

/// A ticket as the API shows it.
#[derive(Debug, Deserialize)]
struct Ticket {
    id: TicketId,
    queue: QueueId,
    subject: String,
    requester: String,
    priority: String,
    status: String,
    version: Version,
    assignee: Option<AgentId>,
    fence: Fence,
    follow_up_of: Option<TicketId>,
    created_at: u64,
    updated_at: u64,
}

#[derive(Debug, Deserialize)]
struct Page {
    /// Named after what it holds.
    #[serde(rename = "tickets", alias = "messages", alias = "events")]
    items: Vec<Box<RawValue>>,
    next: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Me {
    agent: Option<Agent>,
}

#[derive(Debug, Deserialize)]
struct Agent {
    id: AgentId,
}

/// A command and what it is based on.
struct Order {
    ticket: TicketId,
    fields: Map<String, Value>,
    basis: Basis,
    /// Whether the API wants a version.
    overwrites: bool,
}

pub(super) struct Desk {
    api: Api,
    pub(super) format: Format,
    pub(super) look: Look,
}

pub(crate) async fn run(global: &Global, task: TicketTask) -> Result<Exit, Failure> {
    let desk = Desk::new(global)?;
    match task {
        TicketTask::Create { queue, subject, requester, text, priority, follow_up_of } => {
            let text = text_or_stdin(text)?;
            let mut body = json!({"type": "create", "queue": queue, "subject": subject, "requester": requester, "text": text});
            if let Some(fields) = body.as_object_mut() {
                let priority = priority.map(|priority| ("priority".to_owned(), priority.into()));
                fields.extend(priority);
                fields.extend(follow_up_of.map(|ticket| ("follow_up_of".to_owned(), ticket.0.into())));
            }
            desk.post("/v1/tickets".to_owned(), &body, None).await
        }
        TicketTask::List { query, queue, status, assignee, listing } => {
            let rows_max = listing.rows_max();
            let filters = [
                ("query", query),
                ("queue", queue.map(|queue| queue.to_string())),
                ("status", status),
                ("assignee", assignee),
                ("sort", listing.sort),
                ("at", listing.at),
            ];
            desk.list("/v1/tickets", &filters, rows_max).await
        }
        TicketTask::Show { ticket, at } => desk.show(ticket, at).await,
        TicketTask::Reply { ticket, text, status, suggestion, basis } => {
            let text = text_or_stdin(text)?;
            let mut order = Order::new(ticket, "reply", basis, false).with("text", text);
            if let Some(Origin { reply, model }) = suggestion {
                order = order.with("suggestion", json!({"model": model, "reply": reply}));
            }
            if let Some(status) = status {
                order = order.with("status", status);
            }
            desk.order(order).await
        }
        TicketTask::Note { ticket, text } => {
            let text = text_or_stdin(text)?;
            // A note takes no fence, so nothing is to be looked up.
            let order = Order::new(ticket, "note", Basis::default(), false).with("text", text);
            desk.send(order, None, None).await
        }
        TicketTask::Move { ticket, status, basis } => {
            desk.order(Order::new(ticket, "move", basis, true).with("to", status)).await
        }
        TicketTask::Claim { ticket } => {
            desk.send(Order::new(ticket, "claim", Basis::default(), false), None, None).await
        }
        TicketTask::Release { ticket, basis } => {
            desk.order(Order::new(ticket, "release", basis, false)).await
        }
        TicketTask::Assign { ticket, agent, basis } => {
            desk.order(Order::new(ticket, "assign", basis, true).with("agent", agent.0)).await
        }
    }
}

impl Order {
    fn new(ticket: TicketId, kind: &str, basis: Basis, overwrites: bool) -> Self {
        let fields = Map::new();
        Self { ticket, fields, basis, overwrites }.with("type", kind)
    }

    fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.fields.insert(name.to_owned(), value.into());
        self
    }
}

impl Desk {
    pub(super) fn new(global: &Global) -> Result<Self, Failure> {
        let is_terminal = std::io::stdout().is_terminal();
        let look = Look::of(is_terminal, global.is_colored(is_terminal));
        Ok(Self { api: Api::new(global, API_ATTEMPTS_MAX)?, format: global.output, look })
    }

    /// Sends a command with its version and fence: those given, or those read from the ticket. The
    /// fence is only taken from one's own claim; another's is refused by the server with a clear reason.
    async fn order(&self, order: Order) -> Result<Exit, Failure> {
        let Basis { expect, any, fence } = order.basis;
        let needs_version = order.overwrites && expect.is_none() && !any;
        if !needs_version && fence.is_some() {
            return self.send(order, expect, fence).await;
        }
        let ticket: Ticket = self.get(&format!("/v1/tickets/{}", order.ticket)).await?;
        let fence = match (fence, ticket.assignee) {
            (None, Some(holder)) if self.is_me(holder).await? => Some(ticket.fence),
            (given, _) => given,
        };
        let expect = if needs_version { Some(ticket.version) } else { expect };
        self.send(order, expect, fence).await
    }

    async fn send(
        &self,
        order: Order,
        expect: Option<Version>,
        fence: Option<Fence>,
    ) -> Result<Exit, Failure> {
        let Order { ticket, mut fields, basis, .. } = order;
        if let Some(expect) = expect {
            fields.insert("expect".to_owned(), expect.0.into());
        }
        if let Some(fence) = fence {
            fields.insert("fence".to_owned(), fence.0.into());
        }
        let if_match = basis.any.then(|| "*".to_owned());
        self.post(format!("/v1/tickets/{ticket}/commands"), &Value::Object(fields), if_match).await
    }

    pub(super) async fn post(
        &self,
        path: String,
        body: &Value,
        if_match: Option<String>,
    ) -> Result<Exit, Failure> {
        let key = Some(random_key()?);
        let ask = Ask { method: Method::POST, path, body: body.to_string().into(), key, if_match };
        let answer = self.api.send(&ask).await?.body;
        let told = match self.format {
            Format::Json => format!("{}\n", String::from_utf8_lossy(&answer).trim_end()),
            Format::Human => {
                let event: EventMessage = read(&answer)?;
                let line = event_line(&event, self.look);
                match event.ticket {
                    TicketId::TENANT => format!("{line}this is event {}\n", event.offset),
                    ticket => format!("{line}ticket {ticket} is now at version {}\n", event.version),
                }
            }
        };
        print(told.as_bytes())?;
        Ok(Exit::Ok)
    }

    pub(super) async fn list(
        &self,
        path: &str,
        filters: &[(&str, Option<String>)],
        rows_max: usize,
    ) -> Result<Exit, Failure> {
        let items = self.pages(path, filters, rows_max).await?;
        let mut told = String::new();
        if self.format == Format::Human {
            told = row(["#", "status", "priority", "queue", "agent", "updated (UTC)"], "subject", self.look);
            told.push('\n');
        }
        for item in items {
            match self.format {
                Format::Json => told.push_str(item.get()),
                Format::Human => told.push_str(&read::<Ticket>(item.get().as_bytes())?.row(self.look)),
            }
            told.push('\n');
        }
        print(told.as_bytes())?;
        Ok(Exit::Ok)
    }

    async fn show(&self, id: TicketId, at: Option<String>) -> Result<Exit, Failure> {
        let path = format!("/v1/tickets/{id}");
        let then = at.as_ref().map(|at| format!("?at={}", percent(at))).unwrap_or_default();
        let body = self.api.send(&ask_get(format!("{path}{then}"))).await?.body;
        let mut messages = self.pages(&format!("{path}/messages"), &[], MESSAGES_MAX).await?;
        if at.is_some() {
            let Ticket { version, .. } = read(&body)?;
            messages.retain(|message| {
                read::<EventMessage>(message.get().as_bytes()).is_ok_and(|message| message.version <= version)
            });
        }
        let told = match self.format {
            Format::Json => {
                let ticket: Box<RawValue> = read(&body)?;
                format!("{}\n", json!({"ticket": ticket, "messages": messages}))
            }
            Format::Human => {
                let mut told = read::<Ticket>(&body)?.card();
                for message in messages {
                    told.push_str(&paragraph(&read(message.get().as_bytes())?));
                }
                told
            }
        };
        print(told.as_bytes())?;
        Ok(Exit::Ok)
    }

    /// All pages' items, at most `rows_max`.
    async fn pages(
        &self,
        path: &str,
        filters: &[(&str, Option<String>)],
        rows_max: usize,
    ) -> Result<Vec<Box<RawValue>>, Failure> {
        let mut items: Vec<Box<RawValue>> = Vec::new();
        let mut cursor = None;
        loop {
            let limit = rows_max.saturating_sub(items.len()).min(PAGE_ROWS_MAX as usize);
            let paging = [("limit", Some(limit.to_string())), ("cursor", cursor.take())];
            let query = query(filters.iter().cloned().chain(paging));
            let page: Page = self.get(&format!("{path}?{query}")).await?;
            items.extend(page.items);
            items.truncate(rows_max);
            cursor = page.next;
            if cursor.is_none() || items.len() >= rows_max {
                return Ok(items);
            }
        }
    }

    async fn is_me(&self, agent: AgentId) -> Result<bool, Failure> {
        let me: Me = self.get("/v1/me").await?;
        Ok(me.agent.is_some_and(|me| me.id == agent))
    }

    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        read(&self.api.send(&ask_get(path.to_owned())).await?.body)
    }
}

impl Ticket {
    fn row(&self, look: Look) -> String {
        let agent = self.assignee.map_or("-".to_owned(), |agent| agent.to_string());
        let cells = [
            &self.id.to_string(),
            &*self.status,
            &*self.priority,
            &self.queue.to_string(),
            &agent,
            &date(self.updated_at),
        ];
        row(cells, &self.subject, look)
    }

    fn card(&self) -> String {
        let held = match self.assignee {
            Some(agent) => format!("agent {agent} (fence {})", self.fence),
            None => "nobody".to_owned(),
        };
        let follows = self.follow_up_of.map_or(String::new(), |id| format!("follows    #{id}\n"));
        format!(
            "#{} {}\nrequester  {}\nstatus     {}, priority {}, queue {}\nheld by    {held}\nversion    {}\n{follows}created    {}\nupdated    {}\n",
            self.id,
            plain(&self.subject),
            plain(&self.requester),
            plain(&self.status),
            plain(&self.priority),
            self.queue,
            self.version,
            date(self.created_at),
            date(self.updated_at),
        )
    }
}

fn row(cells: [&str; 6], subject: &str, look: Look) -> String {
    let [id, status, priority, queue, agent, updated] = cells;
    let head = format!("{id:>7}  {status:<8} {priority:<8} {queue:>5} {agent:>5}  {updated:<16}  ");
    let room = look.columns.saturating_sub(head.chars().count());
    format!("{head}{}", cut(subject, room)).trim_end().to_owned()
}

/// A message with its whole text.
fn paragraph(event: &EventMessage) -> String {
    let data: Value = serde_json::from_str(event.data.get()).unwrap_or_default();
    let text = data.get("text").and_then(Value::as_str).unwrap_or_default();
    let lines: String = text.lines().map(|line| format!("  {}\n", plain(line))).collect();
    format!("\n{} {} by {}\n{lines}", date(event.at.0), plain(&event.kind), plain(&event.actor))
}

/// `2026-05-04 12:30`, UTC.
fn date(at_ms: u64) -> String {
    let nanos = i128::from(at_ms) * 1_000_000;
    let Ok(at) = time::OffsetDateTime::from_unix_timestamp_nanos(nanos) else { return format!("{at_ms} ms") };
    format!("{} {:02}:{:02}", at.date(), at.hour(), at.minute())
}

fn ask_get(path: String) -> Ask {
    Ask { path, ..Ask::default() }
}

pub(super) fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Failure> {
    serde_json::from_slice(body)
        .map_err(|error| Failure::local("the API's answer is not what this version expects", error))
}

pub(super) fn query<'a>(pairs: impl Iterator<Item = (&'a str, Option<String>)>) -> String {
    let given = pairs.filter_map(|(name, value)| Some(format!("{name}={}", percent(&value?))));
    given.collect::<Vec<_>>().join("&")
}

/// Percent-encodes what a query's value may not hold (RFC 3986 section 2.3).
fn percent(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

fn text_or_stdin(text: Option<String>) -> Result<String, Failure> {
    if let Some(text) = text.filter(|text| text != "-") {
        return Ok(text);
    }
    if std::io::stdin().is_terminal() {
        notice("reading the text from the terminal; end it with Ctrl-D");
    }
    text_from(std::io::stdin())
}

fn text_from(from: impl Read) -> Result<String, Failure> {
    // A last CR LF is no part of the text. One byte more than fits, so that a longer text is refused,
    // not cut.
    const READ_BYTES_MAX: usize = TEXT_BYTES_MAX + 3;
    let mut bytes = Vec::new();
    let read = from.take(READ_BYTES_MAX as u64).read_to_end(&mut bytes);
    read.map_err(|error| Failure::local("cannot read the text from stdin", error))?;
    // Before the characters: the last one may be cut in two.
    if bytes.len() == READ_BYTES_MAX || bytes.trim_ascii_end().len() > TEXT_BYTES_MAX {
        let message = format!("the text is too long; at most {TEXT_BYTES_MAX} bytes are taken");
        return Err(Failure::new(Exit::Refused, message));
    }
    let text = String::from_utf8(bytes);
    let text = text.map_err(|error| Failure::local("the text from stdin is not UTF-8", error))?;
    let text = text.trim_end().to_owned();
    if text.is_empty() {
        return Err(Failure::new(Exit::Usage, "the text is empty; give one as an argument or on stdin"));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tickets_are_drawn() {
        let ticket: Ticket = serde_json::from_value(json!({
            "id": 17, "queue": 2, "subject": "Card\nlost", "requester": "a@b.example", "priority": "high",
            "status": "on_hold", "version": 4, "assignee": 3, "fence": 1, "follow_up_of": null,
            "created_at": 1_767_225_600_000_u64, "updated_at": 1_767_229_260_000_u64
        }))
        .unwrap();
        let look = Look { is_colored: false, columns: 80 };
        assert_eq!(ticket.row(look), "     17  on_hold  high         2     3  2026-01-01 01:01  Card lost");
        assert_eq!(
            ticket.card(),
            "#17 Card lost\nrequester  a@b.example\nstatus     on_hold, priority high, queue 2\nheld by    agent 3 (fence 1)\nversion    4\ncreated    2026-01-01 00:00\nupdated    2026-01-01 01:01\n"
        );
    }

    #[test]
    fn texts_are_whole_or_refused() {
        let fits = "\u{e9}".repeat(TEXT_BYTES_MAX / 2);
        for end in ["", "\n", "\r\n"] {
            assert_eq!(text_from((fits.clone() + end).as_bytes()).unwrap(), fits);
        }
        for more in ["a", "\u{e9}", "\nthe next line", "aa\u{e9}", "aaa\u{20ac}"] {
            let failure = text_from((fits.clone() + more).as_bytes()).unwrap_err();
            let told = (failure.exit, failure.to_string());
            let expected = "the text is too long; at most 65536 bytes are taken".to_owned();
            assert_eq!(told, (Exit::Refused, expected), "{more:?}");
        }
        assert!(text_from(&b"\xff\n"[..]).unwrap_err().to_string().contains("is not UTF-8"));
        assert_eq!(text_from(&b" \n"[..]).unwrap_err().exit, Exit::Usage);
    }

    #[test]
    fn queries_are_encoded() {
        let pairs =
            [("status", Some("on hold&x".to_owned())), ("queue", None), ("limit", Some("5".to_owned()))];
        assert_eq!(query(pairs.into_iter()), "status=on%20hold%26x&limit=5");
    }
}
