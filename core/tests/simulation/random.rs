//! One source of chance per seed, and the trace that two runs of a seed must share.

use std::hash::Hasher;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use rustc_hash::FxHasher;

pub(crate) struct Random(ChaCha8Rng);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    /// Below `bound`; 0 where that is 0.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0.next_u64() % bound.max(1)
    }

    /// From `low` to `high`, both included.
    pub(crate) fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }

    pub(crate) fn chance(&mut self, per_mille: u64) -> bool {
        self.below(1000) < per_mille
    }

    pub(crate) fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len() as u64) as usize]
    }
}

/// What happened, as a hash; as lines too where somebody wants to read them.
pub(crate) struct Trace {
    hasher: FxHasher,
    pub(crate) is_printed: bool,
}

impl Trace {
    pub(crate) fn new(is_printed: bool) -> Self {
        Self { hasher: FxHasher::default(), is_printed }
    }

    pub(crate) fn note(&mut self, now: u64, what: &'static str, numbers: &[u64]) {
        self.hasher.write_u64(now);
        self.hasher.write(what.as_bytes());
        for number in numbers {
            self.hasher.write_u64(*number);
        }
        if self.is_printed {
            println!("{now:>8} {what} {numbers:?}");
        }
    }

    pub(crate) fn hash(&self) -> u64 {
        self.hasher.finish()
    }
}
