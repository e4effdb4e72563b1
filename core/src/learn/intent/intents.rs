//! The learner: adaptive regularisation of weights for many classes, by the true class against the best wrong one.
//! Crammer, Kulesza, Dredze: Adaptive Regularization of Weight Vectors, Machine Learning 91 (2013), with a diagonal
//! covariance.

use rustc_hash::FxHashMap;

use super::{Features, IntentId, Ranking, Recipe};
use crate::learn::SnapshotError;
use crate::learn::snapshot::{put_float, put_number, take_count, take_float, take_number};
use crate::limits::{INTENT_FEATURES_MAX, INTENTS_MAX};

/// How slowly variances shrink.
const REGULARISATION: f32 = 1.0;

/// What is known of a feature and a class.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Cell {
    class: u16,
    weight: f32,
    variance: f32,
}

/// What is known of a feature.
#[derive(Debug, Clone, PartialEq, Default)]
struct Row {
    /// Texts that had it.
    texts: u32,
    cells: Vec<Cell>,
}

/// One learner of intents.
#[derive(Debug, Clone)]
pub struct Intents {
    recipe: Recipe,
    classes: Vec<IntentId>,
    texts: u32,
    rows: FxHashMap<u32, Row>,
}

impl Intents {
    /// One that knows nothing.
    #[must_use]
    pub fn new(recipe: Recipe) -> Self {
        Self { recipe, classes: Vec::new(), texts: 0, rows: FxHashMap::default() }
    }

    /// How it learns.
    #[must_use]
    pub fn recipe(&self) -> Recipe {
        self.recipe
    }

    /// Learns that a text is of `intent`; `weight` is from 0 to 1: how much that is trusted. An intent that was never seen
    /// is a new one; beyond [`INTENTS_MAX`] of them nothing is learned.
    pub fn learn(&mut self, features: &Features, intent: IntentId, weight: f32) {
        let weight = if weight.is_finite() { weight.clamp(0.0, 1.0) } else { 0.0 };
        let Some(class) = self.class(intent).filter(|_| weight > 0.0 && !features.is_empty()) else { return };
        self.texts = self.texts.saturating_add(1);
        for (hash, _) in features.words.iter().chain(&features.grams) {
            if self.rows.len() < INTENT_FEATURES_MAX || self.rows.contains_key(hash) {
                let row = self.rows.entry(*hash).or_default();
                row.texts = row.texts.saturating_add(1);
            }
        }
        let weighed = self.weigh(features);
        let scores = self.scores(&weighed);
        let score = |class: u16| scores.get(usize::from(class)).copied().unwrap_or_default();
        let wrong = (0_u16..).zip(&scores).filter(|(other, _)| *other != class);
        let Some((wrong, best)) = wrong.max_by(|a, b| a.1.total_cmp(b.1).then(b.0.cmp(&a.0))) else { return };
        let loss = 1.0 - (score(class) - best);
        if loss <= 0.0 {
            return;
        }
        let mut spread = 0.0;
        for (hash, value) in &weighed {
            let Some(row) = self.rows.get(hash) else { continue };
            spread += value * value * (row.variance(class) + row.variance(wrong));
        }
        let beta = 1.0 / (spread + REGULARISATION);
        for (hash, value) in &weighed {
            let Some(row) = self.rows.get_mut(hash) else { continue };
            row.update(class, weight * loss * beta * value, beta * value * value);
            row.update(wrong, -weight * loss * beta * value, beta * value * value);
        }
    }

    /// The `most` likely intents of a text.
    #[must_use]
    pub fn rank(&self, features: &Features, most: usize) -> Ranking {
        let scores = self.scores(&self.weigh(features));
        let mut intents: Vec<(IntentId, f32)> = self.classes.iter().copied().zip(scores).collect();
        intents.sort_unstable_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        let confidence = match intents.as_slice() {
            [] => 0.0,
            [_] => 0.5,
            [best, next, ..] => 1.0 / (1.0 + libm::expf(-2.0 * (best.1 - next.1))),
        };
        intents.truncate(most);
        Ranking { intents, confidence }
    }

    /// What was learned of `from` is of `into` from now on.
    pub fn merge(&mut self, from: IntentId, into: IntentId) {
        let place = |intent| self.classes.iter().position(|known| *known == intent);
        let Some(gone) = place(from).filter(|_| from != into) else { return };
        let Some(kept) = place(into) else {
            if let Some(class) = self.classes.get_mut(gone) {
                *class = into;
            }
            return;
        };
        let (Ok(gone_class), Ok(kept)) = (u16::try_from(gone), u16::try_from(kept)) else { return };
        for row in self.rows.values_mut() {
            let Some(cell) = row.cells.iter().find(|cell| cell.class == gone_class).copied() else {
                continue;
            };
            row.update(kept, cell.weight / row.variance(kept), 0.0);
        }
        self.remove(from);
    }

    /// Forgets an intent.
    pub fn remove(&mut self, intent: IntentId) {
        let Some(gone) = self.classes.iter().position(|known| *known == intent) else { return };
        self.classes.remove(gone);
        let Ok(gone) = u16::try_from(gone) else { return };
        for row in self.rows.values_mut() {
            row.cells.retain(|cell| cell.class != gone);
            row.cells.iter_mut().filter(|cell| cell.class > gone).for_each(|cell| cell.class -= 1);
        }
    }

    /// Bytes of memory that it takes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let cells: usize = self.rows.values().map(|row| row.cells.capacity() * size_of::<Cell>()).sum();
        cells + self.rows.capacity() * (size_of::<(u32, Row)>() + 1) + self.classes.capacity() * 4
    }

    /// Appends it as bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_number(
            out,
            Recipe::ALL.iter().position(|recipe| *recipe == self.recipe).unwrap_or_default() as u64,
        );
        put_number(out, self.texts.into());
        put_number(out, self.classes.len() as u64);
        self.classes.iter().for_each(|class| put_number(out, class.0.into()));
        let mut rows: Vec<_> = self.rows.iter().collect();
        rows.sort_unstable_by_key(|(hash, _)| **hash);
        put_number(out, rows.len() as u64);
        for (hash, row) in rows {
            put_number(out, u64::from(*hash));
            put_number(out, row.texts.into());
            put_number(out, row.cells.len() as u64);
            for cell in &row.cells {
                put_number(out, cell.class.into());
                put_float(out, cell.weight);
                put_float(out, cell.variance);
            }
        }
    }

    /// Takes what [`Intents::encode`] has written from the front.
    ///
    /// # Errors
    ///
    /// Where the bytes are not such, or not all of them.
    pub fn decode(input: &mut &[u8]) -> Result<Self, SnapshotError> {
        let recipe = take_count(input, Recipe::ALL.len() - 1, "a recipe")?;
        let mut intents = Self::new(Recipe::ALL.get(recipe).copied().unwrap_or_default());
        let number = |found: u64| u32::try_from(found).unwrap_or(u32::MAX);
        intents.texts = number(take_number(input, "texts")?);
        for _ in 0..take_count(input, INTENTS_MAX, "intents")? {
            intents.classes.push(IntentId(number(take_number(input, "an intent")?)));
        }
        for _ in 0..take_count(input, INTENT_FEATURES_MAX, "features")? {
            let hash = number(take_number(input, "a feature")?);
            let mut row = Row { texts: number(take_number(input, "texts of a feature")?), cells: Vec::new() };
            let last = intents.classes.len().saturating_sub(1);
            for _ in 0..take_count(input, intents.classes.len(), "weights")? {
                let class = u16::try_from(take_count(input, last, "a weight's intent")?).unwrap_or_default();
                let weight = take_float(input, "a weight")?;
                row.cells.push(Cell { class, weight, variance: take_float(input, "a variance")? });
            }
            intents.rows.insert(hash, row);
        }
        Ok(intents)
    }

    fn class(&mut self, intent: IntentId) -> Option<u16> {
        let place = self.classes.iter().position(|known| *known == intent).unwrap_or(self.classes.len());
        if place == self.classes.len() && place < INTENTS_MAX {
            self.classes.push(intent);
        }
        u16::try_from(place).ok().filter(|_| place < INTENTS_MAX)
    }

    /// Features as they count here: rare ones more, words and characters alike.
    fn weigh(&self, features: &Features) -> Vec<(u32, f32)> {
        let mut weighed = Vec::with_capacity(features.len());
        for block in [&features.words, &features.grams] {
            let start = weighed.len();
            let mut square = 0.0;
            for (hash, count) in block {
                let Some(row) = self.rows.get(hash) else { continue };
                let value = count * libm::logf((self.texts as f32 + 1.0) / (row.texts as f32 + 0.5));
                square += value * value;
                weighed.push((*hash, value));
            }
            let length = if square > 0.0 { libm::sqrtf(square) } else { 1.0 };
            weighed.iter_mut().skip(start).for_each(|(_, value)| *value /= length);
        }
        weighed
    }

    fn scores(&self, weighed: &[(u32, f32)]) -> Vec<f32> {
        let mut scores = vec![0.0; self.classes.len()];
        for (hash, value) in weighed {
            for cell in self.rows.get(hash).map(|row| row.cells.as_slice()).unwrap_or_default() {
                if let Some(score) = scores.get_mut(usize::from(cell.class)) {
                    *score += cell.weight * value;
                }
            }
        }
        scores
    }
}

impl Row {
    fn variance(&self, class: u16) -> f32 {
        self.cells.iter().find(|cell| cell.class == class).map_or(1.0, |cell| cell.variance)
    }

    fn update(&mut self, class: u16, step: f32, shrink: f32) {
        let place = self.cells.partition_point(|cell| cell.class < class);
        if self.cells.get(place).is_none_or(|cell| cell.class != class) {
            self.cells.insert(place, Cell { class, weight: 0.0, variance: 1.0 });
        }
        let Some(cell) = self.cells.get_mut(place) else { return };
        cell.weight += step * cell.variance;
        cell.variance -= shrink * cell.variance * cell.variance;
    }
}
