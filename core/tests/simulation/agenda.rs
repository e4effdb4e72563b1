//! What is to happen, in the order of virtual time; what is due at the same time, in the order of entry.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use waggle_core::id::{Offset, TenantId};
use waggle_core::push::Link;
use waggle_core::ticket::Entry;

use crate::ledger::{Answer, LedgerStep};
use crate::network::ConnId;
use crate::plan::Trouble;

/// A gateway from its start to its end; what was under way in an older one is nothing to a newer.
pub(crate) type Life = u32;

/// One thing that happens.
pub(crate) enum Event {
    /// An author begins a command, or tries one again.
    AuthorActs(usize),
    /// An author has waited long enough for an answer.
    AuthorTimesOut { author: usize, attempt: u32 },
    /// An author's request comes to the gateway's door.
    RequestArrives { author: usize, attempt: u32 },
    /// The answer comes to the author.
    AnswerArrives { author: usize, attempt: u32, answer: Answer },
    /// Inside the ledger.
    Ledger(Life, LedgerStep),
    /// A batch comes to a shard.
    BatchArrives { life: Life, shard: usize },
    /// A shard compares its feeds with the heads.
    ShardLooks { life: Life, shard: usize },
    /// A session's token has been checked.
    TokenChecked { conn: ConnId },
    /// A session's read of the log is carried out.
    PageRead { conn: ConnId, after: Offset },
    /// And comes to its shard.
    PageArrives { conn: ConnId, page: Option<Rc<Vec<Arc<Entry>>>> },
    /// A command sent over a session is answered.
    CommandAnswered { conn: ConnId, id: Rc<str>, answer: Answer },
    /// A session's deadline.
    SessionTick { conn: ConnId },
    /// A draining session is closed.
    SessionDrained { conn: ConnId },
    /// A connection comes to the gateway's door.
    Dial { viewer: usize, life: Life, link: Link },
    /// An attempt to connect has failed.
    DialFails { viewer: usize, life: Life, link: Link },
    /// Bytes come in at the gateway.
    ToServer { conn: ConnId },
    /// Bytes come in at a viewer.
    ToClient { conn: ConnId },
    /// The gateway learns that the other end is gone.
    ServerLearns { conn: ConnId },
    /// The viewer learns that the other end is gone.
    ClientLearns { conn: ConnId },
    /// A viewer's own timer.
    ViewerTick { viewer: usize, life: Life },
    /// A viewer's application takes one item.
    ViewerReads { viewer: usize, life: Life },
    /// A replaced connection is closed.
    RetiredCloses { conn: ConnId },
    /// A killed viewer comes back.
    ViewerStarts { viewer: usize },
    /// Something goes wrong.
    Trouble(Trouble),
    /// The gateway comes up.
    GatewayStarts,
    /// An older copy of a tenant's log is put in place, while the gateway is down.
    Restore { tenant: TenantId },
    /// From here on nothing goes wrong any more.
    Calm,
}

#[derive(Default)]
pub(crate) struct Agenda {
    entries: BTreeMap<(u64, u64), Event>,
    entered: u64,
}

impl Agenda {
    pub(crate) fn add(&mut self, at_ms: u64, event: Event) {
        self.entered += 1;
        self.entries.insert((at_ms, self.entered), event);
    }

    pub(crate) fn next(&mut self) -> Option<(u64, Event)> {
        self.entries.pop_first().map(|((at, _), event)| (at, event))
    }
}
