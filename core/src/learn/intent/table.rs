//! What is known of each feature, and of each class that it was seen with: small sorted lists, in fixed point, so that
//! a cell is eight bytes and the same on disk and in memory.

use rustc_hash::FxHashMap;
use smallvec::SmallVec;

use super::Features;
use crate::limits::{INTENT_CELLS_MAX, INTENT_FEATURES_MAX};

/// Steps of a weight of one.
pub(super) const WEIGHT_STEPS: f32 = 4_096.0;
/// Steps of a weight that is worth a cell of its own.
const NEW_WEIGHT_MIN: f32 = 24.0;
/// Steps of a variance of one, which it begins with.
const VARIANCE_STEPS: f32 = 65_535.0;
/// Steps of one text: one that is trusted less counts less.
pub(super) const TEXT_STEPS: f32 = 4.0;

/// Runs of characters that more than one of so many texts has tell little, and take the most time: they are left out.
const COMMON_PART: u32 = 3;
/// Where there are this many such texts.
const COMMON_MIN: u32 = 16;
/// Counts whose logarithms are looked up.
const LOGARITHMS: u16 = 1_024;

/// What is known of a feature and a class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cell {
    pub(super) class: u16,
    /// In 4,096ths.
    pub(super) weight: i16,
    /// In 65,535ths.
    pub(super) variance: u16,
    /// The class's texts that had it, in quarters.
    pub(super) texts: u16,
}

impl Cell {
    fn new(class: u16) -> Self {
        Self { class, weight: 0, variance: u16::MAX, texts: 0 }
    }

    fn variance(self) -> f32 {
        f32::from(self.variance) * (1.0 / VARIANCE_STEPS)
    }

    fn change(&mut self, moved: &Move, value: f32) {
        let variance = self.variance();
        let weight = f32::from(self.weight) + moved.step * value * variance * WEIGHT_STEPS;
        // A cast of a float keeps to the type's range.
        self.weight = (weight + if weight < 0.0 { -0.5 } else { 0.5 }) as i16;
        let variance = variance - moved.shrink * value * value * variance * variance;
        self.variance = ((variance * VARIANCE_STEPS + 0.5) as u16).max(1);
    }
}

/// What is known of a feature.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Row {
    pub(super) hash: u32,
    /// Texts that had it.
    pub(super) texts: u32,
    /// By class.
    pub(super) cells: SmallVec<[Cell; 2]>,
}

impl Row {
    fn place(&self, class: u16) -> Result<usize, usize> {
        self.cells.binary_search_by_key(&class, |cell| cell.class)
    }

    /// The cell of a class.
    pub(super) fn of(&self, class: u16) -> Option<&Cell> {
        self.place(class).ok().and_then(|place| self.cells.get(place))
    }

    /// The cell of a class, which is made where there is none; and whether it was.
    fn cell(&mut self, class: u16) -> (Option<&mut Cell>, usize) {
        let (place, made) = match self.place(class) {
            Ok(place) => (place, 0),
            Err(place) => {
                self.cells.insert(place, Cell::new(class));
                (place, 1)
            }
        };
        (self.cells.get_mut(place), made)
    }
}

/// Every row, in the order in which features came.
#[derive(Debug, Clone)]
pub(super) struct Table {
    places: FxHashMap<u32, u32>,
    /// Logarithms of small counts of texts, each and a half.
    logarithms: Vec<f32>,
    pub(super) rows: Vec<Row>,
    /// Texts that were counted.
    pub(super) texts: u32,
    cells: usize,
}

/// Classes that one example moves: the true one and the best wrong ones.
pub(super) const CLASSES_MAX: usize = 4;

/// How a class's weights move.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Move {
    pub(super) class: u16,
    /// Of a weight, for a value and a variance of one.
    pub(super) step: f32,
    /// Of a variance.
    pub(super) shrink: f32,
}

/// Cells of some classes, for each feature of a text.
pub(super) struct Touched {
    /// Where they are in their rows, in the order of the classes; nowhere is the highest number.
    places: Vec<[usize; CLASSES_MAX]>,
    /// Sums of variances.
    pub(super) spreads: [f32; CLASSES_MAX],
}

/// Features of a text as they count: where each one's row is, and its value.
pub(super) struct Weighed {
    pub(super) values: Vec<(u32, f32)>,
    /// The share of what its words are worth that no text before had, from 0 to 1.
    pub(super) unknown: f32,
}

impl Default for Table {
    fn default() -> Self {
        let logarithms = (0..LOGARITHMS).map(|texts| libm::logf(f32::from(texts) + 0.5)).collect();
        Self { places: FxHashMap::default(), logarithms, rows: Vec::new(), texts: 0, cells: 0 }
    }
}

impl Table {
    /// Counts a text's features.
    pub(super) fn see(&mut self, features: &Features) {
        self.texts = self.texts.saturating_add(1);
        for (hash, _) in features.words.iter().chain(&features.grams) {
            let known = self.places.get(hash).and_then(|place| self.rows.get_mut(index(*place)));
            if let Some(row) = known {
                row.texts = row.texts.saturating_add(1);
            } else if self.rows.len() < INTENT_FEATURES_MAX {
                self.push(Row { hash: *hash, texts: 1, cells: SmallVec::new() });
            }
        }
    }

    /// Adds a row; false where there is one of its hash.
    pub(super) fn push(&mut self, row: Row) -> bool {
        let place = u32::try_from(self.rows.len()).unwrap_or(u32::MAX);
        self.cells += row.cells.len();
        let is_new = self.places.insert(row.hash, place).is_none();
        self.rows.push(row);
        is_new
    }

    /// Features as they count here: rare ones more, words and characters alike. `seen` is how often this text itself was
    /// counted.
    pub(super) fn weigh(&self, features: &Features, seen: u32) -> Weighed {
        let mut values = Vec::with_capacity(features.len());
        let mut unknown = 0.0;
        let all = libm::logf(self.texts as f32 + 1.0);
        let common = COMMON_MIN.max(self.texts / COMMON_PART);
        for (block, is_words) in [(&features.words, true), (&features.grams, false)] {
            let start = values.len();
            let (mut square, mut square_unknown) = (0.0, 0.0);
            for (hash, count) in block {
                let place = self.places.get(hash).copied();
                let texts = place.and_then(|place| self.rows.get(index(place))).map_or(0, |row| row.texts);
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
        Weighed { values, unknown }
    }

    fn logarithm(&self, texts: u32) -> f32 {
        self.logarithms.get(index(texts)).copied().unwrap_or_else(|| libm::logf(texts as f32 + 0.5))
    }

    /// A row by its place.
    pub(super) fn row(&self, place: u32) -> Option<&Row> {
        self.rows.get(index(place))
    }

    /// Finds the cells of some classes, and sums up each class's variances by the squares of values.
    pub(super) fn find(&self, values: &[(u32, f32)], classes: &[u16]) -> Touched {
        let mut touched = Touched { places: Vec::with_capacity(values.len()), spreads: [0.0; CLASSES_MAX] };
        for (place, value) in values {
            let mut places = [usize::MAX; CLASSES_MAX];
            if let Some(row) = self.rows.get(index(*place)) {
                for ((class, found), spread) in classes.iter().zip(&mut places).zip(&mut touched.spreads) {
                    *found = row.place(*class).unwrap_or(usize::MAX);
                    *spread += value * value * row.cells.get(*found).map_or(1.0, |cell| cell.variance());
                }
            }
            touched.places.push(places);
        }
        touched
    }

    /// Moves each class's weights by its step times each feature's value and variance, and shrinks variances by its shrink.
    /// A cell that would hardly differ from none is not made: most would, and each takes time whenever its feature comes.
    pub(super) fn update(&mut self, values: &[(u32, f32)], touched: &Touched, moves: &[Move]) {
        for ((place, value), cells) in values.iter().zip(&touched.places) {
            let Some(row) = self.rows.get_mut(index(*place)) else { continue };
            let mut is_missing = false;
            for (moved, cell) in moves.iter().zip(cells) {
                match row.cells.get_mut(*cell) {
                    Some(cell) => cell.change(moved, *value),
                    None => is_missing |= (moved.step * value * WEIGHT_STEPS).abs() >= NEW_WEIGHT_MIN,
                }
            }
            if !is_missing {
                continue;
            }
            for (moved, cell) in moves.iter().zip(cells) {
                if *cell == usize::MAX
                    && (moved.step * value * WEIGHT_STEPS).abs() >= NEW_WEIGHT_MIN
                    && let (Some(cell), made) = row.cell(moved.class)
                {
                    self.cells += made;
                    cell.change(moved, *value);
                }
            }
        }
    }

    /// Counts a class's text, and gives how many counts that were; `steps` are of one text.
    pub(super) fn count(&mut self, values: &[(u32, f32)], class: u16, steps: u16) {
        for (place, _) in values {
            let Some(row) = self.rows.get_mut(index(*place)) else { continue };
            let (Some(cell), made) = row.cell(class) else { continue };
            self.cells += made;
            cell.texts = cell.texts.saturating_add(steps);
        }
        if self.cells > INTENT_CELLS_MAX || self.rows.len() >= INTENT_FEATURES_MAX {
            self.prune();
        }
    }

    /// What was of `from` is of `into`, too: the better evidence of the two.
    pub(super) fn merge(&mut self, from: u16, into: u16) {
        for row in &mut self.rows {
            let Some(old) = row.place(from).ok().and_then(|place| row.cells.get(place)).copied() else {
                continue;
            };
            let (Some(cell), made) = row.cell(into) else { continue };
            self.cells += made;
            cell.weight = if made > 0 { old.weight } else { cell.weight.max(old.weight) };
            cell.variance = if made > 0 { old.variance } else { cell.variance.max(old.variance) };
            cell.texts = cell.texts.saturating_add(old.texts);
        }
    }

    /// Forgets a class; those after it move down by one.
    pub(super) fn remove(&mut self, class: u16) {
        for row in &mut self.rows {
            row.cells.retain(|cell| cell.class != class);
            row.cells.iter_mut().filter(|cell| cell.class > class).for_each(|cell| cell.class -= 1);
        }
        self.cells = self.rows.iter().map(|row| row.cells.len()).sum();
    }

    /// Drops the cells that say least until a quarter of the room is free, then rows that are left empty and rare.
    fn prune(&mut self) {
        let mut least = 8;
        while self.cells > INTENT_CELLS_MAX / 4 * 3 && least < i32::from(i16::MAX) {
            let keeps =
                |cell: &Cell| i32::from(cell.weight).abs() + i32::from(cell.texts).min(1_000) * 8 > least;
            self.rows.iter_mut().for_each(|row| row.cells.retain(|cell| keeps(cell)));
            self.cells = self.rows.iter().map(|row| row.cells.len()).sum();
            least *= 2;
        }
        self.rows.retain(|row| !row.cells.is_empty() || row.texts > 2);
        let mut rare = 1;
        while self.rows.len() > INTENT_FEATURES_MAX / 4 * 3 {
            self.rows.retain(|row| row.texts > rare);
            rare *= 2;
        }
        self.cells = self.rows.iter().map(|row| row.cells.len()).sum();
        self.places = (0_u32..).zip(&self.rows).map(|(place, row)| (row.hash, place)).collect();
    }

    /// Bytes of memory.
    pub(super) fn bytes(&self) -> usize {
        let spilled = self.rows.iter().filter(|row| row.cells.spilled());
        let cells: usize = spilled.map(|row| row.cells.capacity() * size_of::<Cell>()).sum();
        cells
            + self.rows.capacity() * size_of::<Row>()
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
