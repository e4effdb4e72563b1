//! The whole state that admission decides on, in one word, and the decision itself.

use super::Expect;
use super::lifecycle::{Category, Guard, Lifecycles, Status};
use crate::id::{AgentId, Fence, LifecycleId, Version};
use crate::right::{Right, Rights};

/// Who acts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Actor {
    /// A person of the team.
    Agent(AgentId),
    /// Whoever asked; an incoming message.
    Requester,
    /// Waggle itself.
    System,
}

/// Who acts, and with which rights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Authority {
    /// Who.
    pub actor: Actor,
    /// Those that count in the ticket's queue.
    pub rights: Rights,
}

/// What a command wants of a ticket, as far as admission looks at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Intent {
    /// A message from the requester.
    Message,
    /// A public reply, and the status that it leaves.
    Reply {
        /// `None`: where the lifecycle says.
        status: Option<Status>,
    },
    /// An internal note.
    Note,
    /// Changes of fields.
    Set {
        /// What these changes need.
        needs: Rights,
        /// The lifecycle of the queue that the ticket goes to, where it goes to one.
        into: Option<LifecycleId>,
        /// The status that it gets there.
        status: Option<Status>,
    },
    /// A move along an edge.
    Move {
        /// Where to.
        to: Status,
    },
    /// Take the ticket for oneself.
    Claim,
    /// Give it back to its queue.
    Release,
    /// Give it to an agent.
    Assign {
        /// Whom to.
        agent: AgentId,
    },
    /// A tie to another ticket: whoever holds this one, and though it is closed.
    Link,
    /// The end of the ticket: another one goes on in its place.
    Merge,
    /// The ticket goes out of sight, whoever holds it and whether it is closed.
    Delete,
    /// It is there again, as it was.
    Restore,
    /// Something for the assistant to learn, from whoever may reply or leave notes: whoever holds the ticket, and though
    /// it is closed.
    Feedback,
    /// Waggle's own, on the tenant itself: something of its assistant has changed.
    Teach,
    /// Waggle's own: what people wrote in it is gone.
    Erase,
    /// Waggle's own: the ticket's status or its queue's lifecycle was changed, and the ticket follows.
    Settle {
        /// The status that it had.
        from: Status,
        /// The status that it gets for it.
        to: Status,
    },
}

impl Intent {
    /// The rights without which it is refused, whatever the ticket is like; an edge may need a further one.
    #[must_use]
    pub fn needs(self) -> Rights {
        match self {
            Self::Message => Rights::one(Right::Create),
            Self::Reply { .. } => Rights::one(Right::Reply),
            Self::Note => Rights::one(Right::Note),
            Self::Set { needs, .. } => needs,
            // A move needs what its edge names; whoever holds a ticket may give it back.
            Self::Move { .. } | Self::Release | Self::Settle { .. } | Self::Erase => Rights::NONE,
            // Either of two rights will do: see [`decide`].
            Self::Feedback => Rights::NONE,
            Self::Teach => Rights::one(Right::Administer),
            Self::Claim => Rights::one(Right::Claim),
            Self::Assign { .. } => Rights::one(Right::Assign),
            Self::Link | Self::Merge => Rights::one(Right::Merge),
            Self::Delete | Self::Restore => Rights::one(Right::Delete),
        }
    }
}

/// Version, status, fence and whether the ticket is held or deleted, packed into 64 bits, so that one
/// compare-and-swap decides every race for a ticket.
///
/// Bits 32–63 version, 24–31 status, 23 held, 22 deleted, 0–21 fence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Word(pub u64);

const FENCE_BITS: u32 = 22;
const DELETED_BIT: u64 = 1 << FENCE_BITS;
const HELD_BIT: u64 = 1 << (FENCE_BITS + 1);
const STATUS_SHIFT: u32 = FENCE_BITS + 2;

impl Word {
    /// The highest fence that fits.
    pub const FENCE_MAX: u32 = (1 << FENCE_BITS) - 1;
    /// The highest version that fits.
    pub const VERSION_MAX: u32 = u32::MAX;

    /// Packs the four parts of a ticket that is there; `fence` must be at most [`Word::FENCE_MAX`].
    #[must_use]
    pub fn pack(version: Version, status: Status, fence: Fence, hold: Hold) -> Self {
        assert!(fence.0 <= Self::FENCE_MAX, "a fence fits 22 bits");
        let held = if hold == Hold::Held { HELD_BIT } else { 0 };
        Self(
            u64::from(version.0) << 32
                | u64::from(status.index()) << STATUS_SHIFT
                | held
                | u64::from(fence.0),
        )
    }

    /// How many events the ticket has, reserved ones included.
    #[must_use]
    pub fn version(self) -> Version {
        // The upper half of 64 bits fits 32.
        Version((self.0 >> 32) as u32)
    }

    /// Its status.
    #[must_use]
    pub fn status(self) -> Status {
        // Eight bits.
        Status::from_index((self.0 >> STATUS_SHIFT & 0xff) as u8)
    }

    /// The fence of its newest claim.
    #[must_use]
    pub fn fence(self) -> Fence {
        // 22 bits.
        Fence((self.0 & u64::from(Self::FENCE_MAX)) as u32)
    }

    /// The same of the ticket when it is deleted.
    #[must_use]
    pub fn deleted(self) -> Self {
        Self(self.0 | DELETED_BIT)
    }

    /// Whether it is deleted.
    #[must_use]
    pub fn is_deleted(self) -> bool {
        self.0 & DELETED_BIT != 0
    }

    /// Whether somebody holds it.
    #[must_use]
    pub fn hold(self) -> Hold {
        if self.0 & HELD_BIT == 0 { Hold::Free } else { Hold::Held }
    }
}

/// Whether somebody holds a ticket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    /// Nobody does.
    Free,
    /// The agent of its newest claim does.
    Held,
}

/// What an admitted command changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transition {
    /// The version that it becomes.
    pub version: Version,
    /// Status before
    pub status_from: Status,
    /// and after.
    pub status_to: Status,
    /// Fence after; raised by claim and assign.
    pub fence: Fence,
    /// Who holds it from now on, where that changes: `Some(None)` is nobody.
    pub holder: Option<Option<AgentId>>,
}

/// Why a command is not admitted. Nothing has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// `expect` names another version.
    #[error("the ticket is at version {current}, not {expected}; read it again and decide anew")]
    StaleVersion {
        /// What the caller knew.
        expected: Version,
        /// What is.
        current: Version,
    },
    /// `fence` is not the one that holds.
    #[error("fence {given} does not hold this ticket any more; its newest fence is {current}")]
    StaleFence {
        /// What the caller gave.
        given: Fence,
        /// The newest.
        current: Fence,
    },
    /// The ticket is held, and the command says no fence.
    #[error("the ticket is held; only its holder may do this, and gives the claim's fence with it")]
    FenceRequired,
    /// The fence is right, but the claim is another agent's.
    #[error("the ticket is held by another agent")]
    NotHolder,
    /// A claim of a ticket that is held.
    #[error("the ticket is already claimed; its release, or a claim that names its fence, frees it")]
    AlreadyClaimed,
    /// A release of a ticket that nobody holds.
    #[error("nobody holds this ticket")]
    NotClaimed,
    /// The ticket is closed.
    #[error("the ticket is closed, which is final; create a follow-up ticket with follow_up_of")]
    Closed,
    /// The ticket is deleted.
    #[error("the ticket is deleted; restore it first")]
    Deleted,
    /// A restore of a ticket that is there.
    #[error("the ticket is not deleted")]
    NotDeleted,
    /// The lifecycle has no such edge.
    #[error("the lifecycle has no edge from status {} to status {}", from.index(), to.index())]
    NoEdge {
        /// Where it is.
        from: Status,
        /// Where it was to go.
        to: Status,
    },
    /// The edge has a guard, which does not hold.
    #[error("{}", .0.demand())]
    Unmet(Guard),
    /// The ticket's new queue has another lifecycle, which does not say what becomes of its status.
    #[error("the queue has another lifecycle, number {into}, which has no status for {}", from.index())]
    NoStatus {
        /// What it has.
        from: Status,
        /// The queue's lifecycle.
        into: LifecycleId,
    },
    /// A ticket that was to follow a change of its lifecycle has done so already.
    #[error("the ticket has left the status already")]
    Settled,
    /// It is for others.
    #[error("this needs the right {0} in the ticket's queue")]
    NeedsRight(Right),
    /// A requester, or Waggle itself, asked for what only agents do.
    #[error("only an agent may do this")]
    NeedsAgent,
    /// Version or fence have no number left.
    #[error("the ticket has reached its limit of {limit} {what}; create a follow-up ticket")]
    Exhausted {
        /// Events or claims.
        what: &'static str,
        /// How many there may be.
        limit: u32,
    },
}

/// Decides whether `intent` is admitted on a ticket at `word`, which `holder` holds.
///
/// `holder` is `None` also while a claim is so new that its holder is not known yet; nobody can know
/// its fence then.
///
/// # Errors
/// The reason, where it is not admitted.
pub fn decide(
    lifecycles: &Lifecycles,
    word: Word,
    holder: Option<AgentId>,
    authority: Authority,
    expect: Expect,
    fence: Option<Fence>,
    intent: Intent,
) -> Result<(Word, Transition), Refusal> {
    // First of all: whoever may not delete does not learn that there is such a ticket.
    if word.is_deleted() && !reaches_deleted(intent, authority) {
        return Err(Refusal::Deleted);
    }
    if let Some(right) = authority.rights.lacks(intent.needs()) {
        return Err(Refusal::NeedsRight(right));
    }
    if intent == Intent::Feedback {
        check_feedback(authority)?;
    }
    check_expectations(word, expect, fence)?;
    let status_to = match intent {
        Intent::Settle { from, to } => settled(lifecycles, word, authority, from, to)?,
        Intent::Restore if !word.is_deleted() => return Err(Refusal::NotDeleted),
        Intent::Erase if authority.actor != Actor::System => {
            return Err(Refusal::NeedsRight(Right::Administer));
        }
        Intent::Link | Intent::Delete | Intent::Restore | Intent::Erase => word.status(),
        Intent::Feedback | Intent::Teach => word.status(),
        _ if lifecycles.category(word.status()) == Category::Closed => return Err(Refusal::Closed),
        _ => {
            check_hold(word, holder, authority, fence, intent)?;
            status_after(lifecycles, word, holder, authority, intent)?
        }
    };
    let actor_agent = match authority.actor {
        Actor::Agent(agent) => Some(agent),
        Actor::Requester | Actor::System => None,
    };
    let holder = match intent {
        Intent::Claim => Some(Some(actor_agent.ok_or(Refusal::NeedsAgent)?)),
        Intent::Assign { agent } => Some(Some(agent)),
        Intent::Release => Some(None),
        _ => None,
    };

    if word.version().0 == Word::VERSION_MAX {
        return Err(Refusal::Exhausted { what: "events", limit: Word::VERSION_MAX });
    }
    let version = word.version().next();
    let fence = match holder {
        Some(Some(_)) if word.fence().0 == Word::FENCE_MAX => {
            return Err(Refusal::Exhausted { what: "claims", limit: Word::FENCE_MAX });
        }
        Some(Some(_)) => Fence(word.fence().0 + 1),
        _ => word.fence(),
    };
    let hold = match holder {
        Some(Some(_)) => Hold::Held,
        Some(None) => Hold::Free,
        None => word.hold(),
    };
    let next = Word::pack(version, status_to, fence, hold);
    let next = match intent {
        Intent::Delete => next.deleted(),
        Intent::Restore => next,
        _ if word.is_deleted() => next.deleted(),
        _ => next,
    };
    Ok((next, Transition { version, status_from: word.status(), status_to, fence, holder }))
}

/// What may be done with a deleted ticket: whoever may delete brings it back, and Waggle's own work goes on.
fn reaches_deleted(intent: Intent, authority: Authority) -> bool {
    match intent {
        Intent::Restore => authority.rights.has(Right::Delete),
        Intent::Settle { .. } | Intent::Erase => authority.actor == Actor::System,
        _ => false,
    }
}

/// Who tells the assistant something is who answers customers, or talks about how to.
fn check_feedback(authority: Authority) -> Result<(), Refusal> {
    match authority.actor {
        Actor::Requester | Actor::System => Err(Refusal::NeedsAgent),
        Actor::Agent(_) if authority.rights.has(Right::Note) => Ok(()),
        Actor::Agent(_) => authority
            .rights
            .lacks(Rights::one(Right::Reply))
            .map_or(Ok(()), |right| Err(Refusal::NeedsRight(right))),
    }
}

fn check_expectations(word: Word, expect: Expect, fence: Option<Fence>) -> Result<(), Refusal> {
    if let Some(expected) = expect.version()
        && expected != word.version()
    {
        return Err(Refusal::StaleVersion { expected, current: word.version() });
    }
    match fence {
        Some(given) if given != word.fence() || word.hold() == Hold::Free => {
            Err(Refusal::StaleFence { given, current: word.fence() })
        }
        _ => Ok(()),
    }
}

/// The rules of claims: see the table in ARCHITECTURE.md.
fn check_hold(
    word: Word,
    holder: Option<AgentId>,
    authority: Authority,
    fence: Option<Fence>,
    intent: Intent,
) -> Result<(), Refusal> {
    let agent = match (authority.actor, intent) {
        (_, Intent::Message) => return Ok(()),
        (Actor::Agent(agent), _) => agent,
        // What Waggle answers by itself, and the hand-over to people: never where somebody is at it.
        (Actor::System, Intent::Note) => return Ok(()),
        (Actor::System, Intent::Reply { .. } | Intent::Set { .. }) => {
            return if word.hold() == Hold::Free { Ok(()) } else { Err(Refusal::NotHolder) };
        }
        (Actor::Requester | Actor::System, _) => return Err(Refusal::NeedsAgent),
    };
    match (intent, word.hold()) {
        (Intent::Note, _) => Ok(()),
        (Intent::Release, Hold::Free) => Err(Refusal::NotClaimed),
        (_, Hold::Free) => Ok(()),
        // A fence that is known may be claimed over: checked above.
        (Intent::Claim, Hold::Held) => fence.map(|_| ()).ok_or(Refusal::AlreadyClaimed),
        (_, Hold::Held) if authority.rights.has(Right::Administer) => Ok(()),
        (_, Hold::Held) if fence.is_none() => Err(Refusal::FenceRequired),
        (_, Hold::Held) if holder != Some(agent) => Err(Refusal::NotHolder),
        (_, Hold::Held) => Ok(()),
    }
}

/// The status in which `intent` leaves a ticket that is in `from`, where it is admitted; `None` where there is none. A
/// ticket in a status that was removed is in that one's successor, for whatever happens to it next.
#[must_use]
pub fn destination(lifecycles: &Lifecycles, from: Status, intent: Intent) -> Option<Status> {
    let status = lifecycles.current(from);
    match intent {
        Intent::Message => lifecycles.after_requester(status),
        Intent::Note | Intent::Release | Intent::Set { into: None, .. } => Some(status),
        Intent::Link | Intent::Delete | Intent::Restore | Intent::Erase => Some(status),
        Intent::Feedback | Intent::Teach => Some(status),
        Intent::Set { into: Some(into), status: to, .. } if lifecycles.is_of(status, into) => {
            Some(to.unwrap_or(status))
        }
        Intent::Set { into: Some(into), status: to, .. } => {
            to.or_else(|| lifecycles.get(into).and_then(|lifecycle| lifecycle.mapped(status)))
        }
        Intent::Reply { status: Some(to) } if to == status => Some(lifecycles.after_taken(status)),
        Intent::Reply { status: None } => Some(lifecycles.after_reply(status)),
        Intent::Claim | Intent::Assign { .. } => Some(lifecycles.after_taken(status)),
        Intent::Reply { status: Some(to) } | Intent::Move { to } => Some(to),
        Intent::Merge => lifecycles.closed_beside(status),
        Intent::Settle { to, .. } => Some(to),
    }
}

/// The status that an admitted command leaves.
fn status_after(
    lifecycles: &Lifecycles,
    word: Word,
    holder: Option<AgentId>,
    authority: Authority,
    intent: Intent,
) -> Result<Status, Refusal> {
    let status = lifecycles.current(word.status());
    let to = destination(lifecycles, status, intent).ok_or(match intent {
        Intent::Set { into: Some(into), .. } => Refusal::NoStatus { from: status, into },
        _ => Refusal::Closed,
    })?;
    let takes_edge = match intent {
        Intent::Move { .. } => true,
        Intent::Reply { status: Some(asked) } => asked != status,
        Intent::Set { into: Some(into), .. } if lifecycles.is_of(status, into) => to != status,
        Intent::Set { into: Some(_), .. } => {
            if lifecycles.category(to) == Category::Closed && !authority.rights.has(Right::Close) {
                return Err(Refusal::NeedsRight(Right::Close));
            }
            false
        }
        _ => false,
    };
    // Whoever moves it to its status' successor moves it to where it is.
    if takes_edge && (to != status || to == word.status()) {
        return checked_edge(lifecycles, word, holder, authority, intent, to);
    }
    Ok(to)
}

/// Whether a ticket follows a change of its lifecycle. Who holds it does not matter, nor whether it is closed; but
/// what is closed stays so.
fn settled(
    lifecycles: &Lifecycles,
    word: Word,
    authority: Authority,
    from: Status,
    to: Status,
) -> Result<Status, Refusal> {
    let reopens =
        lifecycles.category(from) == Category::Closed && lifecycles.category(to) != Category::Closed;
    match authority.actor {
        _ if word.status() != from || from == to => Err(Refusal::Settled),
        Actor::System if lifecycles.of(to).is_some() && !reopens => Ok(to),
        Actor::System => Err(Refusal::NoEdge { from, to }),
        Actor::Agent(_) | Actor::Requester => Err(Refusal::NeedsRight(Right::Administer)),
    }
}

fn checked_edge(
    lifecycles: &Lifecycles,
    word: Word,
    holder: Option<AgentId>,
    authority: Authority,
    intent: Intent,
    to: Status,
) -> Result<Status, Refusal> {
    let from = lifecycles.current(word.status());
    let edge = lifecycles.edge(from, to).ok_or(Refusal::NoEdge { from, to })?;
    if !authority.rights.has(edge.right) {
        return Err(Refusal::NeedsRight(edge.right));
    }
    let holds = match edge.guard {
        None => true,
        Some(Guard::Assigned) => word.hold() == Hold::Held,
        Some(Guard::Holder) => {
            word.hold() == Hold::Held && holder.is_some_and(|agent| authority.actor == Actor::Agent(agent))
        }
        Some(Guard::Reply) => matches!(intent, Intent::Reply { .. }),
    };
    match edge.guard {
        Some(guard) if !holds => Err(Refusal::Unmet(guard)),
        _ => Ok(to),
    }
}
