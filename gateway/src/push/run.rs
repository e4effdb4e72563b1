//! A shard's thread: its tasks, from start to the end of its drain.

use std::io;
use std::rc::Rc;
use std::time::Duration;

use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{Notify, oneshot};
use tokio::task::{JoinSet, spawn_local};
use tokio::time::{Instant, sleep_until, timeout};
use waggle_core::limits::{CLOSE_MS_MAX, WRITES_PER_TURN_MAX};
use waggle_core::push::CloseCode;

use super::counts;
use super::hub::{Inbox, Order};
use super::listen::{self, AcceptHook, Listeners};
use super::shard::Shard;
use super::signals;

/// Runs a shard until it has drained or is told to stop.
pub(super) async fn run(
    shard: Rc<Shard>,
    mut inbox: Inbox,
    listeners: Listeners,
    hook: Option<AcceptHook>,
) -> io::Result<()> {
    let mut accepting = start_listening(&shard, listeners, hook.as_ref())?;
    let mut standing = JoinSet::new();
    standing.spawn_local(tick(Rc::clone(&shard)));
    standing.spawn_local(signals::keep_up(Rc::clone(&shard)));
    standing.spawn_local(watch_directory(Rc::clone(&shard)));
    standing.spawn_local(counts::keep_up(Rc::clone(&shard)));
    let drained = Rc::new(Notify::new());
    let mut writes = 0;
    loop {
        tokio::select! {
            Some(batch) = shard.next_batch() => {
                writes += shard.deliver(&batch);
                if writes >= WRITES_PER_TURN_MAX {
                    writes = 0;
                    tokio::task::yield_now().await;
                }
            }
            () = inbox.news.told() => {
                if shard.learn_some() {
                    inbox.news.tell();
                    tokio::task::yield_now().await;
                }
            }
            () = inbox.lost.happened.notified() => shard.lose(inbox.lost.take()),
            Some(order) = inbox.orders.recv() => match order {
                Order::Adopt(handover) => {
                    if let Err(error) = listen::adopt(&shard, handover) {
                        tracing::warn!(%error, "an upgraded connection could not be taken over");
                    }
                }
                Order::List { tenant, order, limit, answer } => {
                    // Nobody waits any more where this fails.
                    let _ = answer.send(shard.list(tenant, order, limit));
                }
                Order::StopListening { done } => {
                    shard.begin_drain();
                    let accepting = std::mem::take(&mut accepting);
                    spawn_local(async move {
                        accepting.join_all().await;
                        // Nobody waits any more where this fails.
                        let _ = done.send(());
                    });
                }
                Order::Drain { after_ms, spread_ms, done } => {
                    shard.begin_drain();
                    let finished = Finished { done, drained: Rc::clone(&drained) };
                    spawn_local(drain(Rc::clone(&shard), after_ms, spread_ms, finished));
                }
                Order::Presence { tenant, answer } => {
                    // Whoever asked may not wait any more.
                    let _ = answer.send(shard.there(&shard.sessions.borrow(), tenant));
                }
            },
            () = inbox.stop.notified() => return Ok(()),
            () = drained.notified() => return Ok(()),
            // Without them sessions would be neither ticked nor ended: a shard that stops is seen.
            Some(Err(error)) = standing.join_next() => return Err(io::Error::other(error)),
            else => return Ok(()),
        }
    }
}

fn start_listening(
    shard: &Rc<Shard>,
    listeners: Listeners,
    hook: Option<&AcceptHook>,
) -> io::Result<JoinSet<()>> {
    let mut accepting = JoinSet::new();
    if let Some(listener) = listeners.tcp {
        let listener = TcpListener::from_std(listener)?;
        accepting.spawn_local(listen::accept_tcp(Rc::clone(shard), listener, hook.cloned()));
    }
    if let Some(listener) = listeners.unix {
        let listener = UnixListener::from_std(listener)?;
        accepting.spawn_local(listen::accept_unix(Rc::clone(shard), listener, hook.cloned()));
    }
    Ok(accepting)
}

async fn tick(shard: Rc<Shard>) {
    loop {
        let clock = shard.clock;
        shard.timers.wait(|at| clock.instant(at)).await;
        shard.tick_due();
        tokio::task::yield_now().await;
    }
}

/// Ends what is not allowed any more, whenever the directory has changed, though nothing else happens.
async fn watch_directory(shard: Rc<Shard>) {
    let mut revision = shard.access.revision();
    while revision.changed().await.is_ok() {
        shard.heed_directory(&mut shard.sessions.borrow_mut());
    }
}

/// Whom to tell that a drain is over.
struct Finished {
    done: oneshot::Sender<()>,
    drained: Rc<Notify>,
}

/// Tells all clients, gives them `after_ms`, closes them evenly over `spread_ms`, and waits for their
/// closes.
async fn drain(shard: Rc<Shard>, after_ms: u64, spread_ms: u64, finished: Finished) {
    let told = shard.sessions.borrow().keys(|_| true);
    for key in told {
        shard.drive(key, |session| session.drain(after_ms, spread_ms));
    }
    let start = Instant::now() + Duration::from_millis(after_ms);
    sleep_until(start).await;
    let closing = shard.sessions.borrow().keys(|_| true);
    let count = closing.len().max(1) as u64;
    for (place, key) in (1..).zip(closing) {
        sleep_until(start + Duration::from_micros(spread_ms * 1000 * place / count)).await;
        shard.drive(key, |session| session.close(CloseCode::Drain, "draining"));
    }
    let ended = timeout(Duration::from_millis(CLOSE_MS_MAX), async {
        while shard.stats.connections.get() > 0 {
            shard.connection_ended.notified().await;
        }
    });
    // Who has not closed by now is cut off.
    let _ = ended.await;
    // Nobody waits any more where this fails.
    let _ = finished.done.send(());
    finished.drained.notify_one();
}
