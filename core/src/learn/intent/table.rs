//! What is known of each feature, and of each class that it was seen with, in fixed point: the same on disk and in memory.

use rustc_hash::FxHashMap;

use super::Features;
use super::row::{Cell, Move, Row};
use crate::limits::{INTENT_CELLS_MAX, INTENT_FEATURES_MAX};

/// Steps of a weight of one.
pub(super) const WEIGHT_STEPS: f32 = 4_096.0;
/// Steps of a weight that is worth a cell of its own.
const NEW_WEIGHT_MIN: f32 = 24.0;
/// Steps of one text: one that is trusted less counts less.
pub(super) const TEXT_STEPS: f32 = 4.0;

/// Runs of characters that more than one of so many texts has tell little, and take the most time: they are left out.
const COMMON_PART: u32 = 3;
/// Where there are this many such texts.
const COMMON_MIN: u32 = 16;
/// What every text has, beside its features, whose hashes are others: by its weights an intent is more likely that is asked for more often.
const ANY_TEXT: u32 = 0;
/// Its value, where the words and the runs of characters of a text each have a length of one. Found on small parts of
/// BANKING77 and CLINC150 with intents of very different sizes.
const ANY_TEXT_VALUE: f32 = 0.35;
/// Texts with which it has half of that: how often something is asked for shows late.
const ANY_TEXT_HALF: f32 = 300.0;
/// Counts whose logarithms are looked up.
const LOGARITHMS: u16 = 1_024;

/// Of each count of texts, the logarithm of how much more that is than what a class counts that has never had a feature,
/// times the recipe's weight of evidence, in steps of a weight.
#[derive(Debug, Clone)]
pub(super) struct Evidence(Vec<i16>);

impl Evidence {
    /// Of a weight of evidence, and of texts that a class counts that has never had a feature.
    pub(super) fn new(weight: f32, unseen: f32) -> Self {
        let log = |count: u16| {
            let log = libm::logf(1.0 + f32::from(count) / (TEXT_STEPS * unseen));
            (WEIGHT_STEPS * weight * log + 0.5) as i16
        };
        Self((0..LOGARITHMS).map(log).collect())
    }

    /// What weight and texts of a cell say, in steps of a weight.
    pub(super) fn score(&self, cell: Cell) -> i16 {
        let count = usize::from(cell.texts.min(LOGARITHMS - 1));
        cell.weight.saturating_add(self.0.get(count).copied().unwrap_or_default())
    }

    fn bytes(&self) -> usize {
        self.0.capacity() * size_of::<i16>()
    }
}

/// Every feature, in the order in which they came.
#[derive(Debug, Clone)]
pub(super) struct Table {
    places: FxHashMap<u32, u32>,
    /// Logarithms of small counts of texts, each and a half.
    logarithms: Vec<f32>,
    evidence: Evidence,
    pub(super) features: Vec<Feature>,
    /// Of each row, in the same order.
    pub(super) rows: Vec<Row>,
    /// Texts that were counted.
    pub(super) texts: u32,
    /// Cells that are not empty.
    cells: usize,
}

/// A feature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Feature {
    pub(super) hash: u32,
    /// Texts that had it.
    pub(super) texts: u32,
}

/// Classes that one example moves: the true one and the best wrong ones.
pub(super) const CLASSES_MAX: usize = 4;

/// Features of a text as they count: where each one's row is, and its value.
pub(super) struct Weighed {
    pub(super) values: Vec<(u32, f32)>,
    /// The share of what its words are worth that no text before had, from 0 to 1.
    pub(super) unknown: f32,
}

impl Weighed {
    /// Whether it has no feature that any text had before.
    pub(super) fn is_unknown(&self) -> bool {
        self.values.len() <= 1
    }
}

impl Table {
    /// An empty one.
    pub(super) fn new(evidence: Evidence) -> Self {
        let logarithms = (0..LOGARITHMS).map(|texts| libm::logf(f32::from(texts) + 0.5)).collect();
        let (features, rows) = (Vec::new(), Vec::new());
        Self { places: FxHashMap::default(), logarithms, evidence, features, rows, texts: 0, cells: 0 }
    }

    /// Counts a text's features.
    pub(super) fn see(&mut self, features: &Features) {
        self.texts = self.texts.saturating_add(1);
        let hashes = features.words.iter().chain(&features.grams).map(|(hash, _)| *hash);
        for hash in hashes.chain([ANY_TEXT]) {
            let known = self.places.get(&hash).and_then(|place| self.features.get_mut(index(*place)));
            if let Some(feature) = known {
                feature.texts = feature.texts.saturating_add(1);
            } else if self.rows.len() < INTENT_FEATURES_MAX {
                self.push(Feature { hash, texts: 1 }, []);
            }
        }
    }

    /// Adds a feature with its cells, in the order of their classes; false where there is one of its hash.
    pub(super) fn push(&mut self, feature: Feature, cells: impl IntoIterator<Item = (u16, Cell)>) -> bool {
        let place = u32::try_from(self.rows.len()).unwrap_or(u32::MAX);
        let row = Row::of(cells, &self.evidence);
        self.cells += row.cells().count();
        let is_new = self.places.insert(feature.hash, place).is_none();
        self.features.push(feature);
        self.rows.push(row);
        is_new
    }

    /// Features as they count here: rare ones more, words and characters alike. `seen` is how often this text itself was
    /// counted.
    pub(super) fn weigh(&self, features: &Features, seen: u32) -> Weighed {
        let mut values = Vec::with_capacity(features.len() + 1);
        let mut unknown = 0.0;
        let all = libm::logf(self.texts as f32 + 1.0);
        let common = COMMON_MIN.max(self.texts / COMMON_PART);
        for (block, is_words) in [(&features.words, true), (&features.grams, false)] {
            let start = values.len();
            let (mut square, mut square_unknown) = (0.0, 0.0);
            for (hash, count) in block {
                let place = self.places.get(hash).copied();
                let texts = place.and_then(|place| self.features.get(index(place))).map_or(0, |it| it.texts);
                let value = count * rarity(all - self.logarithm(texts));
                if !is_words && texts > common {
                    continue;
                }
                if texts <= seen {
                    square_unknown += value * value;
                }
                if let Some(place) = place {
                    square += value * value;
                    values.push((place, value));
                }
            }
            let scale = if square > 0.0 { 1.0 / libm::sqrtf(square) } else { 0.0 };
            values.iter_mut().skip(start).for_each(|(_, value)| *value *= scale);
            if is_words && square_unknown > 0.0 {
                let all = if seen > 0 { square } else { square + square_unknown };
                unknown = (square_unknown / all.max(square_unknown)).clamp(0.0, 1.0);
            }
        }
        let any_text = ANY_TEXT_VALUE * self.texts as f32 / (self.texts as f32 + ANY_TEXT_HALF);
        values.extend(self.places.get(&ANY_TEXT).map(|place| (*place, any_text)));
        Weighed { values, unknown }
    }

    fn logarithm(&self, texts: u32) -> f32 {
        self.logarithms.get(index(texts)).copied().unwrap_or_else(|| libm::logf(texts as f32 + 0.5))
    }

    /// Of each of so many classes, in order: what weights and counts say of a text, and the sum of its values.
    pub(super) fn scores(&self, weighed: &Weighed, classes: usize) -> (Vec<f32>, f32) {
        let (mut scores, mut all) = (vec![0.0; classes], 0.0);
        for (row, value) in self.valued(weighed) {
            all += value;
            row.add_scores(value / WEIGHT_STEPS, &self.evidence, &mut scores);
        }
        (scores, all)
    }

    /// Of each of so many classes, in order: what weights alone say.
    pub(super) fn linear(&self, weighed: &Weighed, classes: usize) -> Vec<f32> {
        let mut scores = vec![0.0; classes];
        self.valued(weighed).for_each(|(row, value)| row.add_weights(value / WEIGHT_STEPS, &mut scores));
        scores
    }

    /// Adds to each class's score how like the text is to those of its, times its share.
    pub(super) fn add_likeness(&self, weighed: &Weighed, shares: &[f32], scores: &mut [f32]) {
        self.valued(weighed).for_each(|(row, value)| row.add_shares(value * value, shares, scores));
    }

    /// Rows of a text's features, with its values.
    pub(super) fn valued<'a>(&'a self, weighed: &'a Weighed) -> impl Iterator<Item = (&'a Row, f32)> {
        weighed.values.iter().filter_map(|(place, value)| Some((self.rows.get(index(*place))?, *value)))
    }

    /// Sums up each class's variances by the squares of values.
    pub(super) fn spreads(&self, weighed: &Weighed, classes: &[u16]) -> [f32; CLASSES_MAX] {
        let mut spreads = [0.0; CLASSES_MAX];
        for (row, value) in self.valued(weighed) {
            for (class, spread) in classes.iter().zip(&mut spreads) {
                *spread += value * value * row.cell(*class).variance();
            }
        }
        spreads
    }

    /// Moves each class's weights by its step times each feature's value and variance, and shrinks variances by its shrink.
    /// A cell that would hardly differ from none is not made: most would, and each takes time whenever its feature comes.
    pub(super) fn update(&mut self, weighed: &Weighed, moves: &[Move]) {
        for (place, value) in &weighed.values {
            let Some(row) = self.rows.get_mut(index(*place)) else { continue };
            for by in moves {
                let cell = row.cell(by.class);
                if !cell.is_empty() || (by.step * value * WEIGHT_STEPS).abs() >= NEW_WEIGHT_MIN {
                    let moved = cell.moved(by, *value);
                    row.set(by.class, moved, &self.evidence);
                    self.cells += usize::from(cell.is_empty());
                    self.cells -= usize::from(moved.is_empty());
                }
            }
        }
    }

    /// Counts a class's text; `steps` are of one text.
    pub(super) fn count(&mut self, weighed: &Weighed, class: u16, steps: u16) {
        for (place, _) in &weighed.values {
            let Some(row) = self.rows.get_mut(index(*place)) else { continue };
            let mut cell = row.cell(class);
            self.cells += usize::from(cell.is_empty());
            cell.texts = cell.texts.saturating_add(steps);
            row.set(class, cell, &self.evidence);
            self.cells -= usize::from(cell.is_empty());
        }
        if self.cells > INTENT_CELLS_MAX || self.rows.len() >= INTENT_FEATURES_MAX {
            self.prune();
        }
    }

    /// What was of `from` is of `into`, too: the better evidence of the two. To be followed by [`Table::remove`] of `from`.
    pub(super) fn merge(&mut self, from: u16, into: u16) {
        for row in &mut self.rows {
            let (old, own) = (row.cell(from), row.cell(into));
            if old.is_empty() {
                continue;
            }
            let merged = if own.is_empty() {
                old
            } else {
                Cell {
                    weight: own.weight.max(old.weight),
                    variance: own.variance.max(old.variance),
                    texts: own.texts.saturating_add(old.texts),
                }
            };
            row.set(into, merged, &self.evidence);
        }
    }

    /// Forgets a class; those after it move down by one.
    pub(super) fn remove(&mut self, class: u16) {
        for row in &mut self.rows {
            let others = row.cells().filter(|(other, _)| *other != class);
            let moved: Vec<_> =
                others.map(|(other, cell)| (if other > class { other - 1 } else { other }, cell)).collect();
            *row = Row::of(moved, &self.evidence);
        }
        self.recount();
    }

    fn recount(&mut self) {
        self.cells = self.rows.iter().map(|row| row.cells().count()).sum();
    }

    /// Drops the cells that say least until a quarter of the room is free, then features that are left empty and rare.
    fn prune(&mut self) {
        let mut least = 8;
        while self.cells > INTENT_CELLS_MAX / 4 * 3 && least < i32::from(i16::MAX) {
            let says = |cell: Cell| i32::from(cell.weight).abs() + i32::from(cell.texts).min(1_000) * 8;
            for row in &mut self.rows {
                let kept: Vec<_> = row.cells().filter(|(_, cell)| says(*cell) > least).collect();
                *row = Row::of(kept, &self.evidence);
            }
            self.recount();
            least *= 2;
        }
        self.keep(|feature, row| feature.texts > 2 || row.cells().next().is_some());
        let mut rare = 1;
        while self.rows.len() > INTENT_FEATURES_MAX / 4 * 3 {
            self.keep(|feature, _| feature.texts > rare);
            rare *= 2;
        }
        self.recount();
        self.places = (0_u32..).zip(&self.features).map(|(place, feature)| (feature.hash, place)).collect();
    }

    /// Drops all other features; their places are not found anew.
    fn keep(&mut self, wanted: impl Fn(&Feature, &Row) -> bool) {
        let all = self.features.drain(..).zip(self.rows.drain(..));
        let (features, rows) = all.filter(|(feature, row)| wanted(feature, row)).unzip();
        (self.features, self.rows) = (features, rows);
    }

    /// Bytes of memory.
    pub(super) fn bytes(&self) -> usize {
        self.rows.iter().map(Row::bytes).sum::<usize>()
            + self.evidence.bytes()
            + self.rows.capacity() * size_of::<Row>()
            + self.features.capacity() * size_of::<Feature>()
            + self.places.capacity() * (size_of::<(u32, u32)>() + 1)
    }
}

/// How much a feature counts, by the logarithm of how many texts there are for one that has it: to the power of three
/// quarters, for a whole logarithm overrates what is rare (found on held-out parts of training sets).
pub(super) fn rarity(logarithm: f32) -> f32 {
    let logarithm = logarithm.max(0.01);
    libm::sqrtf(logarithm * libm::sqrtf(logarithm))
}

fn index(place: u32) -> usize {
    usize::try_from(place).unwrap_or(usize::MAX)
}
