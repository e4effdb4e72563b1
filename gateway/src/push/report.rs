//! What the sessions cost and how far behind they are.

use std::collections::HashMap;
use std::rc::Rc;

use serde::Serialize;
use tokio::sync::oneshot;
use waggle_core::id::{AgentId, Offset, SessionId, TenantId};
use waggle_core::push::SessionPhase;
use waggle_core::time::{Tick, Timestamp};

use super::hub::{Order, PushHub};
use super::link::Link;
use super::peer::Via;
use super::shard::Shard;
use crate::accel::{PathQuality, RedirectWay};

/// By what sessions are listed, the most first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SessionOrder {
    /// Events that the session has not been sent.
    #[default]
    Lag,
    /// Bytes that wait for its socket.
    Queued,
    /// Bytes of events that its client has not acknowledged.
    Unacked,
}

/// What is no [`SessionOrder`].
#[derive(Debug, thiserror::Error)]
#[error("the order {0:?} is not known; expected lag, queued or unacked")]
pub struct SessionOrderError(String);

impl std::str::FromStr for SessionOrder {
    type Err = SessionOrderError;

    fn from_str(text: &str) -> Result<Self, SessionOrderError> {
        match text {
            "lag" => Ok(Self::Lag),
            "queued" => Ok(Self::Queued),
            "unacked" => Ok(Self::Unacked),
            other => Err(SessionOrderError(other.chars().take(40).collect())),
        }
    }
}

/// One session. Bytes are of whole frames.
#[derive(Debug, Clone, Serialize)]
pub struct SessionRow {
    /// Its number.
    pub session: SessionId,
    /// Whose.
    pub agent: AgentId,
    /// The way that it came.
    pub path: Via,
    /// Whether the gateway itself encrypts it.
    pub tls: bool,
    /// The client's address, where it is known.
    pub remote: Option<std::net::IpAddr>,
    /// Which shard has it.
    pub shard: usize,
    /// live, replaying, lagging or draining.
    pub phase: &'static str,
    /// When its connection was made, in milliseconds since 1970.
    pub since: Timestamp,
    /// Every matching event up to here has been sent.
    pub offset: Offset,
    /// Events of the tenant after that.
    pub lag_events: u64,
    /// Bytes that wait for its socket.
    pub queued_bytes: u64,
    /// Bytes of events that were sent and not acknowledged.
    pub unacked_bytes: u64,
    /// How many of them there may be.
    pub window: u64,
    /// Events since its welcome.
    pub sent: u64,
    /// Times that it began to lag.
    pub lags: u32,
    /// How many views it watches.
    pub views: usize,
    /// The network path to the client, or to its proxy; none over the Unix socket, and none where the
    /// connection is redirected, of which the kernel counts nothing.
    pub network: Option<PathQuality>,
    /// Where the kernel may redirect what is sent past TCP.
    pub redirect: Option<RedirectRow>,
}

/// What is known of a connection that may be redirected.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct RedirectRow {
    /// Which way its messages go.
    pub way: RedirectWay,
    /// Microseconds from the gateway's latest ping to the client's answer; none before the first.
    pub ack_us: Option<u32>,
    /// Bytes that the client has not proved to have read.
    pub unread_bytes: u64,
}

/// Some of a tenant's sessions.
#[derive(Debug, Default, Serialize)]
pub struct SessionList {
    /// In the order that was asked for.
    pub sessions: Vec<SessionRow>,
    /// How many there are.
    pub total: usize,
}

impl SessionList {
    fn sort(&mut self, order: SessionOrder, limit: usize) {
        let by = |row: &SessionRow| match order {
            SessionOrder::Lag => row.lag_events,
            SessionOrder::Queued => row.queued_bytes,
            SessionOrder::Unacked => row.unacked_bytes,
        };
        self.sessions.sort_by_key(|row| (std::cmp::Reverse(by(row)), row.session));
        self.sessions.truncate(limit);
    }
}

impl PushHub {
    /// The first `limit` sessions of a tenant in this order, over all shards that run.
    pub async fn sessions(&self, tenant: TenantId, order: SessionOrder, limit: usize) -> SessionList {
        let mut waiting = Vec::new();
        self.order_all(|| {
            let (answer, answered) = oneshot::channel();
            waiting.push(answered);
            Order::List { tenant, order, limit, answer }
        })
        .await;
        let mut all = SessionList::default();
        for answered in waiting {
            // An error means that the shard has ended: it has no sessions.
            if let Ok(mut list) = answered.await {
                all.sessions.append(&mut list.sessions);
                all.total += list.total;
            }
        }
        all.sort(order, limit);
        all
    }
}

impl Shard {
    /// Its part of a tenant's list.
    pub(super) fn list(self: &Rc<Self>, tenant: TenantId, order: SessionOrder, limit: usize) -> SessionList {
        let sessions = self.sessions.borrow();
        let feed = sessions.feed(Some(tenant));
        let mut list = SessionList::default();
        for (_, slot) in &sessions.slots {
            let Some(principal) = slot.principal.filter(|principal| principal.tenant == tenant) else {
                continue;
            };
            let Some(report) = slot.session.report(feed) else { continue };
            list.total += 1;
            let phase = match report.phase {
                _ if self.is_draining.get() => "draining",
                SessionPhase::Live => "live",
                SessionPhase::Replaying => "replaying",
                SessionPhase::Lagging => "lagging",
            };
            list.sessions.push(SessionRow {
                session: slot.session.id(),
                agent: principal.agent,
                path: slot.link.via(),
                tls: slot.link.is_tls(),
                remote: slot.link.client_address(),
                shard: self.index,
                phase,
                since: self.clock.wall_at(Tick(u64::from(slot.since_s) * 1000)),
                offset: report.offset,
                lag_events: report.lag_events,
                queued_bytes: slot.link.queued_bytes() as u64,
                unacked_bytes: report.unacked_bytes,
                window: report.window,
                sent: report.sent,
                lags: report.lags,
                views: report.views,
                network: None,
                redirect: None,
            });
            // So much is kept at most, whatever the number of sessions.
            if list.sessions.len() >= 2 * limit {
                list.sort(order, limit);
            }
        }
        list.sort(order, limit);
        let rows = list.sessions.iter_mut().map(|row| (row.session, row));
        let mut rows: HashMap<SessionId, &mut SessionRow> = rows.collect();
        for (_, slot) in &sessions.slots {
            if let Some(row) = rows.get_mut(&slot.session.id()) {
                row.redirect = self.redirect_row(&slot.link);
                let is_redirected = row.redirect.is_some_and(|row| row.way == RedirectWay::Redirected);
                row.network = if is_redirected { None } else { slot.link.path_quality() };
            }
        }
        list
    }

    /// Whoever looks is shown the latest latency, and the next one is measured.
    fn redirect_row(&self, link: &Link) -> Option<RedirectRow> {
        let way = self.way_of(link.redirectable()?)?;
        let (unread_bytes, ack_us) = link.unread();
        link.ask_for_proof();
        Some(RedirectRow { way, ack_us, unread_bytes })
    }
}
