//! What is known of one feature, by class: a list where it was seen with few classes; else numbers for each class, which
//! are added up several at a time. Both hold the same cells and give the same sums, bit for bit.

use smallvec::SmallVec;

use super::table::{Evidence, WEIGHT_STEPS};

/// Cells from which on numbers for each class are worth it, where at least every second class has one.
const MANY: usize = 16;
/// Kinds of numbers that a class has.
const KINDS: usize = 4;
/// Steps of a variance of one, which it begins with.
const VARIANCE_STEPS: f32 = 65_535.0;

/// What is known of a feature and a class; by default nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cell {
    /// In 4,096ths.
    pub(super) weight: i16,
    /// In 65,535ths.
    pub(super) variance: u16,
    /// The class's texts that had it, in quarters.
    pub(super) texts: u16,
}

/// How a class's weights move.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Move {
    pub(super) class: u16,
    /// Of a weight, for a value and a variance of one.
    pub(super) step: f32,
    /// Of a variance.
    pub(super) shrink: f32,
}

impl Default for Cell {
    fn default() -> Self {
        Self { weight: 0, variance: u16::MAX, texts: 0 }
    }
}

impl Cell {
    pub(super) fn is_empty(self) -> bool {
        self == Self::default()
    }

    pub(super) fn variance(self) -> f32 {
        f32::from(self.variance) * (1.0 / VARIANCE_STEPS)
    }

    /// Itself after a move of a feature of this value.
    pub(super) fn moved(mut self, by: &Move, value: f32) -> Self {
        let variance = self.variance();
        let weight = f32::from(self.weight) + by.step * value * variance * WEIGHT_STEPS;
        // A cast of a float keeps to the type's range.
        self.weight = (weight + if weight < 0.0 { -0.5 } else { 0.5 }) as i16;
        let variance = variance - by.shrink * value * value * variance * variance;
        self.variance = ((variance * VARIANCE_STEPS + 0.5) as u16).max(1);
        self
    }
}

/// Cells by class.
#[derive(Debug, Clone)]
pub(super) enum Row {
    /// In the order of classes; none is empty.
    Few(SmallVec<[(u16, Cell); 2]>),
    /// Of each class up to some: what it scores; then of each its weight; then variances; then texts.
    Many(Box<[i16]>),
}

impl Default for Row {
    fn default() -> Self {
        Self::Few(SmallVec::new())
    }
}

impl Row {
    /// Of cells in the order of their classes.
    pub(super) fn of(cells: impl IntoIterator<Item = (u16, Cell)>, evidence: &Evidence) -> Self {
        let few: SmallVec<[(u16, Cell); 2]> =
            cells.into_iter().filter(|(_, cell)| !cell.is_empty()).collect();
        if !is_many(&few) {
            return Self::Few(few);
        }
        let classes = few.last().map_or(0, |(last, _)| usize::from(*last) + 1);
        let mut numbers = vec![0; classes * KINDS].into_boxed_slice();
        numbers.iter_mut().skip(2 * classes).take(classes).for_each(|variance| *variance = FULL);
        let mut row = Self::Many(numbers);
        few.iter().for_each(|(class, cell)| row.put((*class).into(), *cell, evidence));
        row
    }

    /// The cell of a class.
    pub(super) fn cell(&self, class: u16) -> Cell {
        match self {
            Self::Few(few) => few
                .binary_search_by_key(&class, |(class, _)| *class)
                .ok()
                .and_then(|place| few.get(place))
                .map_or_else(Cell::default, |(_, cell)| *cell),
            Self::Many(numbers) => cell(numbers, class.into()),
        }
    }

    /// Cells that are not empty, by class.
    pub(super) fn cells(&self) -> impl Iterator<Item = (u16, Cell)> {
        let (few, many) = match self {
            Self::Few(few) => (few.as_slice(), [].as_slice()),
            Self::Many(many) => ([].as_slice(), many.as_ref()),
        };
        let classes = u16::try_from(many.len() / KINDS).unwrap_or(u16::MAX);
        let many = (0..classes).map(|class| (class, cell(many, class.into())));
        few.iter().copied().chain(many.filter(|(_, cell)| !cell.is_empty()))
    }

    /// Puts a class's cell; an empty one is as if there were none.
    pub(super) fn set(&mut self, class: u16, cell: Cell, evidence: &Evidence) {
        match self {
            Self::Many(numbers) if usize::from(class) < numbers.len() / KINDS => {
                self.put(class.into(), cell, evidence);
            }
            Self::Many(_) => {
                let cells: SmallVec<[(u16, Cell); 64]> = self.cells().chain([(class, cell)]).collect();
                *self = Self::of(cells, evidence);
            }
            Self::Few(few) => match few.binary_search_by_key(&class, |(class, _)| *class) {
                Ok(place) if cell.is_empty() => {
                    few.remove(place);
                }
                Ok(place) => few.iter_mut().skip(place).take(1).for_each(|known| known.1 = cell),
                Err(_) if cell.is_empty() => (),
                Err(place) => {
                    few.insert(place, (class, cell));
                    if is_many(few) {
                        *self = Self::of(std::mem::take(few), evidence);
                    }
                }
            },
        }
    }

    fn put(&mut self, class: usize, cell: Cell, evidence: &Evidence) {
        let Self::Many(numbers) = self else { return };
        let classes = numbers.len() / KINDS;
        let values =
            [evidence.score(cell), cell.weight, cell.variance.cast_signed(), cell.texts.cast_signed()];
        for (kind, value) in values.into_iter().enumerate() {
            if let Some(number) = numbers.get_mut(kind * classes + class) {
                *number = value;
            }
        }
    }

    /// Adds to each class's sum what its weight and texts say, `step` times.
    pub(super) fn add_scores(&self, step: f32, evidence: &Evidence, sums: &mut [f32]) {
        match self {
            Self::Few(few) => add(few, sums, |cell| step * f32::from(evidence.score(cell))),
            Self::Many(numbers) => add_numbers(kind(numbers, 0), step, sums),
        }
    }

    /// Adds to each class's sum its weight, `step` times.
    pub(super) fn add_weights(&self, step: f32, sums: &mut [f32]) {
        match self {
            Self::Few(few) => add(few, sums, |cell| step * f32::from(cell.weight)),
            Self::Many(numbers) => add_numbers(kind(numbers, 1), step, sums),
        }
    }

    /// Adds to each class's sum its share, `value` times, where it has texts.
    pub(super) fn add_shares(&self, value: f32, shares: &[f32], sums: &mut [f32]) {
        let mut add = |class: usize, texts: u16| {
            if texts > 0
                && let (Some(sum), Some(share)) = (sums.get_mut(class), shares.get(class))
            {
                *sum += value * share;
            }
        };
        match self {
            Self::Few(few) => few.iter().for_each(|(class, cell)| add(usize::from(*class), cell.texts)),
            Self::Many(numbers) => {
                let texts = kind(numbers, 3).iter().enumerate();
                texts.for_each(|(class, texts)| add(class, texts.cast_unsigned()));
            }
        }
    }

    /// Bytes of memory beside its own.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Few(few) if few.spilled() => few.capacity() * size_of::<(u16, Cell)>(),
            Self::Few(_) => 0,
            Self::Many(numbers) => size_of_val(numbers.as_ref()),
        }
    }
}

fn is_many(few: &[(u16, Cell)]) -> bool {
    few.len() >= MANY && few.last().is_some_and(|(last, _)| few.len() * 2 > usize::from(*last))
}

/// A variance of one.
const FULL: i16 = u16::MAX.cast_signed();

/// The cell of a class among numbers for each.
fn cell(numbers: &[i16], class: usize) -> Cell {
    let classes = numbers.len() / KINDS;
    let number =
        |kind: usize| if class < classes { numbers.get(kind * classes + class).copied() } else { None };
    match (number(1), number(2), number(3)) {
        (Some(weight), Some(variance), Some(texts)) => {
            Cell { weight, variance: variance.cast_unsigned(), texts: texts.cast_unsigned() }
        }
        _ => Cell::default(),
    }
}

fn kind(numbers: &[i16], kind: usize) -> &[i16] {
    let classes = numbers.len() / KINDS;
    numbers.get(kind * classes..(kind + 1) * classes).unwrap_or_default()
}

fn add(few: &[(u16, Cell)], sums: &mut [f32], value: impl Fn(Cell) -> f32) {
    for (class, cell) in few {
        if let Some(sum) = sums.get_mut(usize::from(*class)) {
            *sum += value(*cell);
        }
    }
}

fn add_numbers(numbers: &[i16], step: f32, sums: &mut [f32]) {
    for (sum, number) in sums.iter_mut().zip(numbers) {
        *sum += step * f32::from(*number);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn cells() -> impl Strategy<Value = Vec<(u16, Cell)>> {
        let cell = (any::<i16>(), 65_530_u16.., 0_u16..3).prop_map(|(weight, variance, texts)| Cell {
            weight: weight % 3,
            variance,
            texts,
        });
        proptest::collection::vec((0_u16..60, cell), 0..120)
    }

    proptest! {
        /// However cells came, and whether they are a list or numbers.
        #[test]
        fn both_kinds_hold_and_say_the_same(puts in cells()) {
            let evidence = Evidence::new(0.01, 0.02);
            let (mut row, mut wanted) = (Row::default(), BTreeMap::new());
            for (class, cell) in puts {
                row.set(class, cell, &evidence);
                wanted.insert(class, cell);
            }
            wanted.retain(|_, cell| !cell.is_empty());
            prop_assert!(row.cells().eq(wanted.iter().map(|(class, cell)| (*class, *cell))));
            let list = Row::Few(wanted.iter().map(|(class, cell)| (*class, *cell)).collect());
            let sums = |row: &Row| {
                let mut sums = [0.5_f32; 60];
                row.add_scores(0.37, &evidence, &mut sums);
                row.add_weights(-0.21, &mut sums);
                row.add_shares(0.11, &[0.3; 60], &mut sums);
                sums.map(f32::to_bits)
            };
            prop_assert_eq!(sums(&row), sums(&list));
            prop_assert!(row.bytes() <= 60.max(4 * wanted.len()) * size_of::<(u16, Cell)>());
            for class in 0..60 {
                prop_assert_eq!(row.cell(class), wanted.get(&class).copied().unwrap_or_default());
            }
        }
    }

    #[test]
    fn a_class_far_behind_needs_no_room_for_those_between() {
        let evidence = Evidence::new(0.01, 0.02);
        let cell = Cell { weight: 7, ..Cell::default() };
        let mut row = Row::of((0..40).map(|class| (class, cell)), &evidence);
        assert!(matches!(row, Row::Many(_)));
        row.set(1_400, cell, &evidence);
        assert!(matches!(row, Row::Few(_)));
        assert_eq!((row.cells().count(), row.cell(1_400)), (41, cell));
    }
}
