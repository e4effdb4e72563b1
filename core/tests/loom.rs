//! Every interleaving of racing commands on one cell: `RUSTFLAGS="--cfg loom" cargo test --release`.

#![cfg(loom)]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use loom::sync::Arc;
use loom::thread;
use waggle_core::id::{AgentId, Fence, Version};
use waggle_core::right::Rights;
use waggle_core::ticket::{Actor, Authority, Cell, Expect, Intent, Lifecycles, Refusal, Reserved, Status};

fn agent(number: u32) -> Authority {
    Authority { actor: Actor::Agent(AgentId(number)), rights: Rights::AGENT }
}

fn fresh() -> Cell {
    Cell::new(Version(1), Status::from_index(0), Fence(0), None)
}

type Attempt = (Authority, Expect, Option<Fence>, Intent);

fn race(cell: &Arc<Cell>, attempts: [Attempt; 2]) -> [Result<Reserved, Refusal>; 2] {
    let threads = attempts.map(|(authority, expect, fence, intent)| {
        let cell = Arc::clone(cell);
        thread::spawn(move || cell.reserve(&Lifecycles::built_in(), authority, expect, fence, intent))
    });
    threads.map(|thread| thread.join().unwrap())
}

#[test]
fn one_of_two_claims_wins() {
    loom::model(|| {
        let cell = Arc::new(fresh());
        let claim = |number| (agent(number), Expect::Any, None, Intent::Claim);
        let results = race(&cell, [claim(1), claim(2)]);
        let winner = results.iter().position(Result::is_ok).expect("one wins");
        assert_eq!(results[1 - winner], Err(Refusal::AlreadyClaimed));
        // Only the winner may release with its fence; the other never passes for the holder.
        let (holder, other) = (agent(winner as u32 + 1), agent(2 - winner as u32));
        let release =
            |who| cell.reserve(&Lifecycles::built_in(), who, Expect::Any, Some(Fence(1)), Intent::Release);
        assert_eq!(release(other), Err(Refusal::NotHolder));
        assert!(release(holder).is_ok());
    });
}

#[test]
fn one_of_two_writers_of_the_same_version_wins() {
    loom::model(|| {
        let cell = Arc::new(fresh());
        let to = Status::from_index(1);
        let expect = Expect::Version(Version(1));
        let attempts =
            [(agent(1), expect, None, Intent::Move { to }), (agent(2), expect, None, Intent::Note)];
        let results = race(&cell, attempts);
        let winner = results.iter().position(Result::is_ok).expect("one wins");
        let stale = Refusal::StaleVersion { expected: Version(1), current: Version(2) };
        assert_eq!(results[1 - winner], Err(stale));
        assert_eq!(cell.load().version(), Version(2));
    });
}

#[test]
fn versions_have_no_gaps_and_no_twins() {
    loom::model(|| {
        let cell = Arc::new(fresh());
        let attempts =
            [(agent(1), Expect::Any, None, Intent::Note), (agent(2), Expect::Any, None, Intent::Message)];
        let mut versions = race(&cell, attempts).map(|result| result.unwrap().transition.version.0);
        versions.sort_unstable();
        assert_eq!(versions, [2, 3]);
    });
}

#[test]
fn a_claim_over_a_known_fence_voids_the_old_holder() {
    loom::model(|| {
        let cell = Arc::new(fresh());
        cell.reserve(&Lifecycles::built_in(), agent(1), Expect::Any, None, Intent::Claim).unwrap();
        let to = Status::from_index(2);
        let known = Some(Fence(1));
        let attempts = [
            (agent(2), Expect::Any, known, Intent::Claim),
            (agent(1), Expect::Any, known, Intent::Move { to }),
        ];
        let [claim, moved] = race(&cell, attempts);
        let claim = claim.unwrap();
        assert_eq!(claim.transition.fence, Fence(2));
        let stale = Refusal::StaleFence { given: Fence(1), current: Fence(2) };
        match moved {
            Ok(moved) => {
                assert!(moved.transition.version < claim.transition.version, "the old holder wrote first")
            }
            Err(refusal) => assert_eq!(refusal, stale),
        }
        assert_eq!(
            cell.reserve(&Lifecycles::built_in(), agent(1), Expect::Any, known, Intent::Note),
            Err(stale)
        );
        assert!(
            cell.reserve(&Lifecycles::built_in(), agent(2), Expect::Any, Some(Fence(2)), Intent::Release)
                .is_ok()
        );
    });
}
