//! A learner as bytes: the same learner again, bit for bit.

use super::calibration::Calibration;
use super::intents::{Class, Example};
use super::row::Cell;
use super::table::Feature;
use super::{Featurizer, IntentId, Intents, Recipe};
use crate::learn::SnapshotError;
use crate::learn::snapshot::{put_float, put_number, take_bytes, take_count, take_float, take_number};
use crate::limits::{FEATURE_MASKED_BYTES_MAX, INTENT_FEATURES_MAX, INTENT_REPLAYS_MAX, INTENTS_MAX};

impl Intents {
    /// Appends it as bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_number(
            out,
            Recipe::ALL.iter().position(|recipe| *recipe == self.recipe).unwrap_or_default() as u64,
        );
        self.calibration.encode(out);
        put_number(out, self.classes.len() as u64);
        for class in &self.classes {
            put_number(out, class.intent.0.into());
            put_number(out, class.features);
            put_number(out, class.born.into());
        }
        put_number(out, self.table.texts.into());
        put_number(out, self.table.rows.len() as u64);
        for (feature, row) in self.table.features.iter().zip(&self.table.rows) {
            out.extend_from_slice(&feature.hash.to_le_bytes());
            put_number(out, feature.texts.into());
            put_number(out, row.cells().count() as u64);
            let mut before = 0;
            for (class, cell) in row.cells() {
                put_number(out, u64::from(class - before));
                before = class;
                put_number(out, zigzag(cell.weight));
                put_number(out, u64::from(u16::MAX - cell.variance));
                put_number(out, cell.texts.into());
            }
        }
        put_number(out, self.replays.len() as u64);
        for example in &self.replays {
            put_number(out, example.intent.0.into());
            put_float(out, example.weight);
            put_number(out, example.features.text.len() as u64);
            out.extend_from_slice(example.features.text.as_bytes());
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
        intents.calibration = Calibration::decode(input)?;
        for _ in 0..take_count(input, INTENTS_MAX, "intents")? {
            let intent = IntentId(take_u32(input, "an intent")?);
            let features = take_number(input, "features of an intent")?;
            intents.classes.push(Class::new(intent, features, take_u32(input, "an intent's first text")?));
        }
        intents.table.texts = take_u32(input, "texts")?;
        for _ in 0..take_count(input, INTENT_FEATURES_MAX, "features")? {
            let (feature, cells) = take_feature(input, intents.classes.len())?;
            let found = u64::from(feature.hash);
            if !intents.table.push(feature, cells) {
                return Err(SnapshotError::Damaged {
                    what: "a feature",
                    found,
                    expected: "each feature once",
                });
            }
        }
        let mut featurizer = Featurizer::new();
        for _ in 0..take_count(input, INTENT_REPLAYS_MAX, "examples")? {
            let intent = IntentId(take_u32(input, "an example's intent")?);
            let weight = take_float(input, "an example's weight")?;
            let length = take_count(input, FEATURE_MASKED_BYTES_MAX, "an example's length")?;
            let what = "an example";
            let (text, rest) = input.split_at_checked(length).ok_or(SnapshotError::Short { what })?;
            *input = rest;
            let expected = "a text in UTF-8";
            let text = std::str::from_utf8(text).map_err(|error| SnapshotError::Damaged {
                what,
                found: error.valid_up_to() as u64,
                expected,
            })?;
            intents.replays.push_back(Example::new(featurizer.of_masked(text), intent, weight));
        }
        Ok(intents)
    }
}

fn take_feature(input: &mut &[u8], classes: usize) -> Result<(Feature, Vec<(u16, Cell)>), SnapshotError> {
    let hash = u32::from_le_bytes(take_bytes::<4>(input, "a feature")?);
    let texts = take_u32(input, "texts of a feature")?;
    let mut cells = Vec::new();
    let mut before: Option<u16> = None;
    for _ in 0..take_count(input, classes, "weights")? {
        let step = take_u16(input, "a weight's intent")?;
        let class = before.unwrap_or_default().saturating_add(step);
        if usize::from(class) >= classes || before.is_some() && step == 0 {
            let expected = "an intent after the one before";
            return Err(SnapshotError::Damaged { what: "a weight's intent", found: class.into(), expected });
        }
        before = Some(class);
        let weight = unzigzag(take_u16(input, "a weight")?);
        let variance = u16::MAX - take_u16(input, "a variance")?;
        cells.push((class, Cell { weight, variance, texts: take_u16(input, "texts of a weight")? }));
    }
    Ok((Feature { hash, texts }, cells))
}

fn take_u32(input: &mut &[u8], what: &'static str) -> Result<u32, SnapshotError> {
    let found = take_number(input, what)?;
    u32::try_from(found).map_err(|_| SnapshotError::Damaged { what, found, expected: "a number of 32 bits" })
}

fn take_u16(input: &mut &[u8], what: &'static str) -> Result<u16, SnapshotError> {
    let found = take_number(input, what)?;
    u16::try_from(found).map_err(|_| SnapshotError::Damaged { what, found, expected: "a number of 16 bits" })
}

/// Small numbers of both signs as small numbers.
fn zigzag(number: i16) -> u64 {
    let folded = (i32::from(number) << 1) ^ (i32::from(number) >> 31);
    u64::try_from(folded).unwrap_or_default()
}

fn unzigzag(folded: u16) -> i16 {
    let half = i16::try_from(folded >> 1).unwrap_or_default();
    if folded & 1 == 0 { half } else { -half - 1 }
}
