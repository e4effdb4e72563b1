//! Whether the challenger is better than the champion, asked after every lesson.
//!
//! Only lessons that exactly one of them has right tell (McNemar 1947). Where the challenger is not better, it wins each
//! such lesson with a chance of at most one half, and each product of `2 p` for its wins and `2 (1 - p)` for its losses,
//! with a `p` above one half, is a supermartingale that begins at 1; so is the mean of several (Robbins 1970). By Ville's
//! inequality it ever reaches `1 / alpha` with a chance of at most `alpha`, however often one looks (Shafer 2021; Ramdas,
//! Grünwald, Vovk, Shafer 2023).

use serde::{Deserialize, Serialize};

use crate::limits::TRIAL_TEXTS_MAX;

/// The chances of winning that are mixed, each as likely: as far from one half as recipes differ.
const CHANCES: [f64; 9] = [0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95];
/// A product that has fallen below this counts as nothing: it keeps numbers normal on every machine.
const PRODUCT_MIN: f64 = 1e-200;
/// A product goes no higher: the trial was decided long before.
const PRODUCT_MAX: f64 = 1e200;

/// Evidence that the challenger is better.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Trial {
    pub(super) challenger_only: u64,
    pub(super) champion_only: u64,
    products: [f64; CHANCES.len()],
    /// Texts that were looked at, each in the one place that its hash says, until another one takes it; none before the first.
    texts: Vec<u32>,
}

impl Default for Trial {
    fn default() -> Self {
        Self { challenger_only: 0, champion_only: 0, products: [1.0; CHANCES.len()], texts: Vec::new() }
    }
}

impl Trial {
    /// Takes note of a lesson: who had it right. `text` is a hash of what was asked and by whom: the same again is no further
    /// evidence, for whoever has learned it once has it right.
    pub(super) fn note(&mut self, text: u64, challenger: bool, champion: bool) {
        if !self.is_new(text) || challenger == champion {
            return;
        }
        self.challenger_only += u64::from(challenger);
        self.champion_only += u64::from(champion);
        for (chance, product) in CHANCES.iter().zip(&mut self.products) {
            let factor = if challenger { 2.0 * chance } else { 2.0 * (1.0 - chance) };
            let next = (*product * factor).min(PRODUCT_MAX);
            *product = if next < PRODUCT_MIN { 0.0 } else { next };
        }
    }

    /// Evidence begins anew; texts that were looked at stay so.
    pub(super) fn begin_anew(&mut self) {
        *self = Self { texts: std::mem::take(&mut self.texts), ..Self::default() };
    }

    fn is_new(&mut self, text: u64) -> bool {
        self.texts.resize(TRIAL_TEXTS_MAX, 0);
        let place = usize::try_from(text % TRIAL_TEXTS_MAX as u64).unwrap_or_default();
        let mark = u32::try_from(text >> 32).unwrap_or_default().max(1);
        self.texts.get_mut(place).is_some_and(|known| std::mem::replace(known, mark) != mark)
    }

    /// The evidence, at least 0; at most 1 on average where the challenger is not better.
    pub(super) fn e_value(&self) -> f64 {
        self.products.iter().sum::<f64>() / 9.0
    }
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha8Rng;
    use rand_chacha::rand_core::{Rng, SeedableRng};

    use super::*;

    fn hash(number: u64) -> u64 {
        crate::learn::dialogue::hash_text(1, &number.to_string())
    }

    /// How many of `runs` trials of 2,000 telling lessons are won, where the challenger wins each with this chance.
    fn promoted(chance: f64, runs: u64) -> u64 {
        let mut generator = ChaCha8Rng::seed_from_u64(17);
        let mut run = || {
            let mut trial = Trial::default();
            (0..2_000).any(|number| {
                let wins = f64::from(generator.next_u32()) < chance * f64::from(u32::MAX);
                trial.note(hash(number), wins, !wins);
                trial.e_value() >= 100.0
            })
        };
        (0..runs).map(|_| u64::from(run())).sum()
    }

    #[test]
    fn mistakes_are_as_rare_as_said_and_a_better_challenger_wins() {
        assert!(promoted(0.5, 2_000) <= 30, "at most one in a hundred, looked at after every lesson");
        assert!(promoted(0.45, 500) == 0);
        assert!(promoted(0.6, 500) >= 490);
    }

    #[test]
    fn a_long_trial_stays_a_number() {
        let mut trial = Trial::default();
        for wins in [true, false] {
            (0..100_000).for_each(|number| trial.note(hash(number + u64::from(wins) * 100_000), wins, !wins));
            assert!(trial.e_value().is_finite() && trial.e_value() >= 0.0);
        }
        assert_eq!((trial.challenger_only, trial.champion_only), (100_000, 100_000));
        assert_eq!(trial.texts.len(), TRIAL_TEXTS_MAX);
    }

    #[test]
    fn the_same_text_again_is_no_evidence() {
        let mut trial = Trial::default();
        (0..100).for_each(|number| trial.note(hash(number % 2), true, false));
        assert_eq!(trial.challenger_only, 2);
        trial.begin_anew();
        trial.note(hash(0), true, false);
        assert_eq!((trial.challenger_only, trial.e_value()), (0, 1.0), "it was looked at before");
        // Both had it right: it tells nothing, now or later.
        trial.note(hash(7), true, true);
        trial.note(hash(7), true, false);
        assert_eq!(trial.challenger_only, 0);
    }
}
