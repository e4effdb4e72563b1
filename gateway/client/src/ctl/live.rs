//! Who is there, and whose screen is behind: as the gateway sees it now.

use std::fmt::Write as _;

use serde::Deserialize;
use waggle_core::limits::API_ATTEMPTS_MAX;

use super::api::{Api, Ask};
use super::args::{Format, Global, SessionOrder};
use super::failure::{Exit, Failure};
use super::speak;

#[derive(Deserialize)]
struct Present {
    agents: Vec<There>,
}

#[derive(Deserialize)]
struct There {
    agent: u32,
    state: String,
}

#[derive(Deserialize)]
struct Sessions {
    sessions: Vec<Session>,
    total: u64,
}

#[derive(Deserialize)]
struct Session {
    session: u64,
    agent: Option<u32>,
    path: String,
    phase: String,
    lag_events: u64,
    queued_bytes: u64,
    unacked_bytes: u64,
    sent: u64,
}

/// `wagglectl presence`.
pub(crate) async fn presence(global: &Global) -> Result<Exit, Failure> {
    let body = get(global, "/v1/presence".to_owned()).await?;
    if global.output == Format::Json {
        return line(&body);
    }
    let present: Present = parse(&body)?;
    let mut text = String::new();
    for There { agent, state } in present.agents {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "agent {agent:<8} {state}");
    }
    speak::print(text.as_bytes())?;
    Ok(Exit::Ok)
}

/// `wagglectl sessions`.
pub(crate) async fn sessions(global: &Global, order: SessionOrder, limit: u32) -> Result<Exit, Failure> {
    let order = match order {
        SessionOrder::Lag => "lag",
        SessionOrder::Queued => "queued",
        SessionOrder::Unacked => "unacked",
    };
    let body = get(global, format!("/v1/push/sessions?order={order}&limit={limit}")).await?;
    if global.output == Format::Json {
        return line(&body);
    }
    let Sessions { sessions, total } = parse(&body)?;
    let mut text = format!(
        "{:>10} {:>8} {:<5} {:<10} {:>10} {:>12} {:>12} {:>12}\n",
        "SESSION", "AGENT", "PATH", "PHASE", "BEHIND", "QUEUED", "UNACKED", "SENT"
    );
    for row in &sessions {
        let agent = row.agent.map_or_else(|| "-".to_owned(), |agent| agent.to_string());
        let _ = writeln!(
            text,
            "{:>10} {agent:>8} {:<5} {:<10} {:>10} {:>12} {:>12} {:>12}",
            row.session, row.path, row.phase, row.lag_events, row.queued_bytes, row.unacked_bytes, row.sent
        );
    }
    let _ = writeln!(text, "{} of {total} sessions", sessions.len());
    speak::print(text.as_bytes())?;
    Ok(Exit::Ok)
}

async fn get(global: &Global, path: String) -> Result<Vec<u8>, Failure> {
    let api = Api::new(global, API_ATTEMPTS_MAX)?;
    Ok(api.send(&Ask { path, ..Ask::default() }).await?.body.to_vec())
}

fn line(body: &[u8]) -> Result<Exit, Failure> {
    speak::print(&[body, b"\n"].concat())?;
    Ok(Exit::Ok)
}

fn parse<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Failure> {
    serde_json::from_slice(body).map_err(|error| Failure::local("the API's answer is not understood", error))
}
