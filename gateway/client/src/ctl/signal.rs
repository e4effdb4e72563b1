//! `wagglectl signal`: tells others what this token's agent does at a ticket, for a while.

use std::time::Duration;

use serde_json::value::RawValue;
use tokio::time::{Instant, interval, sleep_until, timeout};
use waggle_client::{Client, Item, Items, SignalFailure, SignalKind};
use waggle_core::limits::{CONNECT_MS_MAX, TYPING_MS};

use super::args::{Global, Hinted, SignalArgs};
use super::failure::{Exit, Failure};
use super::speak::notice;
use super::stop::StopSignals;

/// Typing ends by itself unless it is said again.
const AGAIN_MS: u64 = TYPING_MS / 2;

pub(crate) async fn run(global: &Global, args: &SignalArgs) -> Result<Exit, Failure> {
    let mut stop = StopSignals::new()?;
    let mut builder = Client::builder(&global.push, &global.token);
    if let Some(ca) = &global.ca {
        builder = builder.ca(ca);
    }
    let usage = |error: waggle_client::EndpointError| Failure::new(Exit::Usage, error.to_string());
    let (client, mut items) = builder.connect().map_err(usage)?;
    let connected = timeout(Duration::from_millis(CONNECT_MS_MAX), connected(&mut items)).await;
    connected.map_err(|_| Failure::new(Exit::Unavailable, "no session within 10 s"))??;

    let until = Instant::now() + Duration::from_secs_f64(args.seconds);
    let mut again = interval(Duration::from_millis(AGAIN_MS));
    loop {
        tokio::select! {
            _ = again.tick() => say(&client, args).await?,
            () = sleep_until(until) => break,
            () = stop.next() => break,
            item = items.next() => look(item)?,
        }
    }
    // The session's end would end it as well, unless another session has it on.
    client.signal_off(kind(args), args.ticket).await.map_err(refused)?;
    items.close().await;
    Ok(Exit::Ok)
}

/// Said again, it is no news to anybody.
async fn say(client: &Client, args: &SignalArgs) -> Result<(), Failure> {
    let data = args.data.clone().map(RawValue::from_string).transpose();
    let data = data.map_err(|error| Failure::new(Exit::Usage, format!("--data: {error}")))?;
    client.signal_on(kind(args), args.ticket, data).await.map_err(refused)
}

fn kind(args: &SignalArgs) -> SignalKind {
    match args.kind {
        Hinted::Viewing => SignalKind::Viewing,
        Hinted::Typing => SignalKind::Typing,
    }
}

fn refused(failure: SignalFailure) -> Failure {
    let exit = match failure {
        SignalFailure::Signal(_) => Exit::Usage,
        SignalFailure::Stopped => Exit::Failure,
    };
    Failure::new(exit, failure.to_string())
}

async fn connected(items: &mut Items) -> Result<(), Failure> {
    loop {
        match items.next().await {
            Some(Item::Connected { .. }) => return Ok(()),
            item => look(item)?,
        }
    }
}

/// What there is to say about the session.
fn look(item: Option<Item>) -> Result<(), Failure> {
    match item {
        Some(Item::Stopped { reason }) => Err(Failure::ended(&reason)),
        Some(Item::Disconnected { reason, .. }) => {
            notice(format_args!("connection lost: {}", super::render::plain(&reason.to_string())));
            Ok(())
        }
        Some(_) => Ok(()),
        None => Err(Failure::new(Exit::Failure, "the client has stopped")),
    }
}
