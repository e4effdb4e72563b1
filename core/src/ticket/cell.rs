//! The compare-and-swap cell of one ticket: where racing commands are decided, before storage.

#[cfg(loom)]
use loom::sync::atomic::{AtomicU64, Ordering};
#[cfg(not(loom))]
use std::sync::atomic::{AtomicU64, Ordering};

use super::decide::{Authority, Hold, Intent, Refusal, Transition, Word, decide};
use super::{Expect, Lifecycles, Status};
use crate::id::{AgentId, Fence, Version};

/// One ticket's [`Word`], and who holds it.
///
/// A claim swaps the word first and names its holder right after. Between the two nobody but the
/// claimer knows the new fence, so a reader that finds the older name there treats the holder as
/// unknown, and no command that needs the holder can pass: its fence cannot be right.
#[derive(Debug)]
pub struct Cell {
    word: AtomicU64,
    /// Fence (upper half) and agent (lower half) of the newest claim.
    holder: AtomicU64,
}

/// A command that has its place in the ticket's history, and the word that it made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reserved {
    /// What changes.
    pub transition: Transition,
    /// The word after it.
    pub word: Word,
}

impl Cell {
    /// A cell for a ticket as storage has it. `holder` is who holds it, with fence `fence`. A fence above
    /// [`Word::FENCE_MAX`], as words had room for once, counts as that one: the ticket cannot be claimed again.
    #[must_use]
    pub fn new(version: Version, status: Status, fence: Fence, holder: Option<AgentId>) -> Self {
        let fence = Fence(fence.0.min(Word::FENCE_MAX));
        let hold = if holder.is_some() { Hold::Held } else { Hold::Free };
        let named = holder.map_or(0, |agent| pack_holder(fence, agent));
        Self {
            word: AtomicU64::new(Word::pack(version, status, fence, hold).0),
            holder: AtomicU64::new(named),
        }
    }

    /// The same cell of a ticket that is deleted.
    #[must_use]
    pub fn deleted(self) -> Self {
        Self { word: AtomicU64::new(self.load().deleted().0), holder: self.holder }
    }

    /// The word as it is now, reservations that are not yet committed included.
    pub fn load(&self) -> Word {
        Word(self.word.load(Ordering::Acquire))
    }

    /// Decides a command and takes the next version for it. Of racing commands that expect the same
    /// version one wins; the others learn the new version at once. Lock-free: a failed swap means that
    /// another command has got through.
    ///
    /// # Errors
    /// The reason, where the command is not admitted; the cell is unchanged then.
    pub fn reserve(
        &self,
        lifecycles: &Lifecycles,
        authority: Authority,
        expect: Expect,
        fence: Option<Fence>,
        intent: Intent,
    ) -> Result<Reserved, Refusal> {
        let mut seen = self.word.load(Ordering::Acquire);
        loop {
            let holder = self.holder_of(Word(seen));
            let decided = decide(lifecycles, Word(seen), holder, authority, expect, fence, intent);
            let (next, transition) = match decided {
                Ok(decided) => decided,
                Err(refusal) => match self.word.load(Ordering::Acquire) {
                    now if now == seen => return Err(refusal),
                    // Word and holder were of different claims: the reason may be the wrong one.
                    now => {
                        seen = now;
                        continue;
                    }
                },
            };
            match self.word.compare_exchange_weak(seen, next.0, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => {
                    if let Some(Some(agent)) = transition.holder {
                        self.name_holder(transition.fence, agent);
                    }
                    return Ok(Reserved { transition, word: next });
                }
                Err(now) => seen = now,
            }
        }
    }

    /// Who holds the ticket; `None` also while a claim is so new that its holder is not named yet.
    pub fn holder(&self) -> Option<AgentId> {
        self.holder_of(self.load())
    }

    fn holder_of(&self, word: Word) -> Option<AgentId> {
        if word.hold() == Hold::Free {
            return None;
        }
        let named = self.holder.load(Ordering::Acquire);
        // The lower half of 64 bits fits 32.
        (named >> 32 == u64::from(word.fence().0)).then_some(AgentId(named as u32))
    }

    /// Names the holder, unless a newer claim already has: two claims may race from swap to here.
    fn name_holder(&self, fence: Fence, agent: AgentId) {
        self.holder.fetch_max(pack_holder(fence, agent), Ordering::AcqRel);
    }
}

fn pack_holder(fence: Fence, agent: AgentId) -> u64 {
    u64::from(fence.0) << 32 | u64::from(agent.0)
}
