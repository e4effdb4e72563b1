//! How predictions do that were made before their lessons were learned, and the thresholds that follow.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use super::names::NONE;
use crate::learn::intent::IntentId;
use crate::learn::report::{AccuracyPoint, CalibrationBin};
use crate::limits::{ACCURACY_POINTS_MAX, CONFUSIONS_MAX, INTENT_PREDICTIONS_MAX, PREDICTIONS_MAX};

/// Steps of confidence, finer towards 1: a confidence is in step `64 (1 - sqrt(1 - c))`.
const STEPS: usize = 64;
/// The 90 % quantile of the normal distribution: a bound is wrong with a chance of one in ten.
const QUANTILE: f32 = 1.281_551_6;
/// Predictions from which on an intent's own threshold counts.
const OWN_MIN: usize = 16;
/// Predictions from which on that of all intents counts: those that suggest something.
const ALL_MIN: usize = 50;
/// Predictions from a confidence on that show a threshold for suggestions there.
const SHOWN_MIN: u32 = 8;
/// The threshold for suggestions before: they are read by an agent.
const EARLY: f32 = 0.25;
/// No threshold is lower: lessons are of messages that somebody knew an answer to, others come, too.
const FLOOR: f32 = 0.5;
/// Set in what is remembered of a prediction that suggests nothing.
const SILENT: u8 = 0x80;
/// A threshold that nothing reaches.
pub(super) const NEVER: f32 = 2.0;

/// The newest predictions: each as its step, whether it was right in the lowest bit, and in the highest whether nothing would
/// have been suggested by it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Window(VecDeque<u8>);

type Steps = [(u32, u32); STEPS];

fn step(confidence: f32) -> u8 {
    let place = 64.0 * (1.0 - libm::sqrtf(1.0 - confidence.clamp(0.0, 1.0)));
    // Between 0 and 64, a number.
    (place as u8).min(63)
}

/// The lowest confidence of a step.
fn edge(step: usize) -> f32 {
    let rest = 1.0 - (step as f32) / 64.0;
    1.0 - rest * rest
}

impl Window {
    fn push(&mut self, confidence: f32, is_right: bool, most: usize) {
        if self.0.len() >= most {
            self.0.pop_front();
        }
        self.0.push_back(step(confidence) << 1 | u8::from(is_right));
    }

    /// A prediction that suggests nothing: it is right or wrong, and no threshold goes by it.
    fn push_silent(&mut self, is_right: bool, most: usize) {
        self.push(0.0, is_right, most);
        self.0.back_mut().into_iter().for_each(|entry| *entry |= SILENT);
    }

    /// Right and all predictions of each step that suggest something.
    fn steps(&self) -> Steps {
        let mut steps = [(0, 0); STEPS];
        for entry in self.0.iter().filter(|entry| *entry & SILENT == 0) {
            if let Some((right, all)) = steps.get_mut(usize::from(entry >> 1)) {
                *right += u32::from(entry & 1);
                *all += 1;
            }
        }
        steps
    }

    /// Whether there are predictions enough that suggest something.
    fn is_enough(&self) -> bool {
        self.0.iter().filter(|entry| *entry & SILENT == 0).count() >= ALL_MIN
    }

    fn right(&self) -> Option<f32> {
        let right = self.0.iter().filter(|entry| *entry & 1 == 1).count();
        (!self.0.is_empty()).then(|| right as f32 / self.0.len() as f32)
    }
}

/// The bounds of a share's confidence interval (Wilson 1927).
fn wilson(right: u32, all: u32) -> (f32, f32) {
    if all == 0 {
        return (0.0, 1.0);
    }
    let (count, share) = (all as f32, right as f32 / all as f32);
    let square = QUANTILE * QUANTILE;
    let centre = share + square / (2.0 * count);
    let spread = QUANTILE * libm::sqrtf(share * (1.0 - share) / count + square / (4.0 * count * count));
    let scale = 1.0 + square / count;
    ((centre - spread) / scale, (centre + spread) / scale)
}

/// How often predictions are right, as far as these show; fewer show nothing. For what an agent reads before it is sent.
fn share(right: u32, all: u32) -> f32 {
    if all < SHOWN_MIN { 0.0 } else { right as f32 / all as f32 }
}

/// How often they are right at least, surely enough: for what nobody reads.
fn bound(right: u32, all: u32) -> f32 {
    wilson(right, all).0
}

/// The lowest step from which on predictions are right as often as wanted, by `share` or `bound`.
fn threshold(steps: &Steps, precision: f32, how_often: fn(u32, u32) -> f32) -> Option<f32> {
    let (mut right, mut all, mut found) = (0, 0, None);
    for (place, step) in steps.iter().enumerate().rev() {
        (right, all) = (right + step.0, all + step.1);
        if edge(place) >= FLOOR && step.1 > 0 && how_often(right, all) >= precision {
            found = Some(edge(place));
        }
    }
    found
}

/// This threshold, where predictions from it on do not show that they are right too seldom.
fn unless_refuted(steps: &Steps, at: f32, precision: f32) -> f32 {
    let above = steps.iter().enumerate().filter(|(place, _)| edge(*place) >= at);
    let (right, all) = above.fold((0, 0), |sum, (_, step)| (sum.0 + step.0, sum.1 + step.1));
    if wilson(right, all).1 < precision { NEVER } else { at }
}

/// How one intent does.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Own {
    /// Predictions of it.
    predicted: Window,
    /// Messages of it, and whether it was predicted.
    found: Window,
}

/// Right predictions over the log, in stretches that grow so that there are never too many.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Curve {
    stretch: u64,
    /// Right ones and all; the last one is not full yet.
    points: Vec<(u64, u64)>,
}

/// How a recipe does.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Scores {
    all: Window,
    own: BTreeMap<IntentId, Own>,
    curve: Curve,
    /// What was taught, and what was predicted.
    confusions: BTreeMap<(IntentId, IntentId), u32>,
}

impl Default for Curve {
    fn default() -> Self {
        Self { stretch: 16, points: Vec::new() }
    }
}

impl Curve {
    fn push(&mut self, is_right: bool) {
        if self.points.last().is_none_or(|(_, all)| *all >= self.stretch) {
            if self.points.len() >= ACCURACY_POINTS_MAX {
                let joined = self
                    .points
                    .chunks(2)
                    .map(|pair| pair.iter().fold((0, 0), |sum, point| (sum.0 + point.0, sum.1 + point.1)));
                self.points = joined.collect();
                self.stretch = self.stretch.saturating_mul(2);
            }
            self.points.push((0, 0));
        }
        if let Some((right, all)) = self.points.last_mut() {
            *right += u64::from(is_right);
            *all += 1;
        }
    }
}

impl Scores {
    /// Takes note of a prediction: what it was, how sure, and what was taught; nothing where that was no known intent.
    pub(super) fn note(&mut self, predicted: Option<(IntentId, f32)>, taught: Option<IntentId>) {
        let is_right = predicted.is_some_and(|(intent, _)| Some(intent) == taught);
        self.curve.push(is_right);
        match predicted.filter(|(intent, _)| *intent != NONE) {
            Some((_, confidence)) => self.all.push(confidence, is_right, PREDICTIONS_MAX),
            None => self.all.push_silent(is_right, PREDICTIONS_MAX),
        }
        if let Some((intent, confidence)) = predicted {
            self.own.entry(intent).or_default().predicted.push(confidence, is_right, INTENT_PREDICTIONS_MAX);
        }
        let Some(taught) = taught else { return };
        self.own.entry(taught).or_default().found.push(0.0, is_right, INTENT_PREDICTIONS_MAX);
        let Some((wrong, _)) = predicted.filter(|_| !is_right) else { return };
        if self.confusions.len() >= CONFUSIONS_MAX && !self.confusions.contains_key(&(taught, wrong)) {
            // Rare pairs make room; those that go on are counted up again.
            self.confusions.retain(|_, times| {
                *times /= 2;
                *times > 0
            });
        }
        if self.confusions.len() < CONFUSIONS_MAX {
            *self.confusions.entry((taught, wrong)).or_default() += 1;
        }
    }

    /// The confidence from which on a prediction of `intent` counts as known: where predictions show it, or at the threshold of
    /// all intents, where they do not refute that.
    pub(super) fn threshold(&self, intent: IntentId, precision: f32) -> f32 {
        let general = self.general(precision);
        let Some(steps) = self.own_steps(intent) else { return general };
        // An intent that is predicted wrongly is not known because others are.
        let shown = threshold(&steps, precision, share).unwrap_or(NEVER);
        shown.min(unless_refuted(&steps, general, precision))
    }

    /// The same, where nothing is known of the intent. Where predictions do not show one yet, the learner's own word counts:
    /// its confidence is a share, too.
    pub(super) fn general(&self, precision: f32) -> f32 {
        if !self.all.is_enough() {
            return EARLY;
        }
        let steps = self.all.steps();
        let shown = threshold(&steps, precision, share).unwrap_or(NEVER);
        shown.min(unless_refuted(&steps, precision, precision))
    }

    /// The same, where predictions have shown it: nothing else lets a reply go out without a human.
    pub(super) fn proved(&self, intent: IntentId, precision: f32) -> Option<f32> {
        let all = Some(&self.all).filter(|all| all.is_enough())?.steps();
        let own = self.own_steps(intent);
        let found = own
            .and_then(|own| threshold(&own, precision, bound))
            .or_else(|| threshold(&all, precision, bound))?;
        let refuted = own.map_or(found, |own| unless_refuted(&own, found, precision));
        (refuted <= 1.0).then_some(found)
    }

    fn own_steps(&self, intent: IntentId) -> Option<Steps> {
        let own = self.own.get(&intent).map(|own| &own.predicted);
        own.filter(|own| own.0.len() >= OWN_MIN).map(Window::steps)
    }

    pub(super) fn accuracy(&self, newest: usize) -> Option<f32> {
        let entries = self.all.0.iter().rev().take(newest);
        let (right, all) =
            entries.fold((0_u32, 0_u32), |(right, all), entry| (right + u32::from(entry & 1), all + 1));
        (all > 0).then(|| right as f32 / all as f32)
    }

    /// Of predictions from this confidence on: the share that was right, and the share of all that they are.
    pub(super) fn at(&self, confidence: f32) -> (Option<f32>, Option<f32>) {
        let steps = self.all.steps();
        let above = steps.iter().enumerate().filter(|(place, _)| edge(*place) >= confidence);
        let (right, all) = above.fold((0, 0), |sum, (_, step)| (sum.0 + step.0, sum.1 + step.1));
        let share = |part: u32, of: u32| (of > 0).then(|| part as f32 / of as f32);
        (share(right, all), share(all, u32::try_from(self.all.0.len()).unwrap_or(u32::MAX)))
    }

    pub(super) fn calibration(&self) -> Vec<CalibrationBin> {
        const BINS: usize = 10;
        let mut bins = [(0_u32, 0_u32); BINS];
        for (place, step) in self.all.steps().iter().enumerate() {
            let middle = (edge(place) + edge(place + 1)) / 2.0;
            if let Some(bin) = bins.get_mut(((middle * 10.0) as usize).min(BINS - 1)) {
                *bin = (bin.0 + step.0, bin.1 + step.1);
            }
        }
        let filled = bins.iter().enumerate().filter(|(_, (_, all))| *all > 0);
        filled
            .map(|(place, (right, all))| CalibrationBin {
                confidence: (place as f32 + 0.5) / 10.0,
                right: *right as f32 / *all as f32,
                predictions: *all,
            })
            .collect()
    }

    pub(super) fn curve(&self) -> Vec<AccuracyPoint> {
        let mut lessons = 0;
        let mut point = |(right, all): &(u64, u64)| {
            lessons += all;
            AccuracyPoint { lessons, accuracy: *right as f32 / (*all).max(1) as f32 }
        };
        self.curve.points.iter().map(&mut point).collect()
    }

    /// Precision, recall, and how many messages recall is of.
    pub(super) fn of(&self, intent: IntentId) -> (Option<f32>, Option<f32>, u32) {
        let Some(own) = self.own.get(&intent) else { return (None, None, 0) };
        (own.predicted.right(), own.found.right(), u32::try_from(own.found.0.len()).unwrap_or(u32::MAX))
    }

    /// The most frequent confusions: taught, predicted, how often.
    pub(super) fn confusions(&self, most: usize) -> Vec<(IntentId, IntentId, u32)> {
        let mut all: Vec<_> =
            self.confusions.iter().map(|((taught, wrong), times)| (*taught, *wrong, *times)).collect();
        all.sort_by(|a, b| b.2.cmp(&a.2).then(a.cmp(b)));
        all.truncate(most);
        all
    }

    /// What was known of an intent is of another one, or of none.
    pub(super) fn forget(&mut self, intent: IntentId) {
        self.own.remove(&intent);
        self.confusions.retain(|(taught, wrong), _| *taught != intent && *wrong != intent);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: IntentId = IntentId(1);
    const B: IntentId = IntentId(2);

    #[test]
    fn steps_cover_all_confidences() {
        assert_eq!((step(0.0), step(1.0), step(f32::NAN.clamp(0.0, 1.0)), step(-3.0)), (0, 63, 0, 0));
        for confidence in (0..=1_000).map(|part| part as f32 / 1_000.0) {
            let place = usize::from(step(confidence));
            assert!(edge(place) <= confidence + 1e-6, "{confidence}");
        }
    }

    #[test]
    fn a_threshold_keeps_the_precision_that_is_wanted() {
        let mut scores = Scores::default();
        assert_eq!(scores.threshold(A, 0.9), EARLY);
        // From 0.7 on all are right, below every second one.
        for number in 0..400_u32 {
            let confidence = (number * 37 % 100) as f32 / 100.0;
            let is_right = confidence >= 0.7 || number % 2 == 0;
            scores.note(Some((A, confidence)), Some(if is_right { A } else { B }));
        }
        let found = scores.threshold(A, 0.9);
        assert!((0.55..0.75).contains(&found), "{found}");
        let proved = scores.proved(A, 0.9).unwrap();
        assert!(proved >= found, "{proved} has to be surer than {found}");
        assert!(scores.threshold(A, 0.999) > found, "more is wanted");
        assert_eq!(scores.threshold(IntentId(9), 0.9), scores.general(0.9));
        let (precision, answered) = scores.at(found);
        assert!(precision.unwrap() >= 0.88 && answered.unwrap() > 0.2, "{precision:?} {answered:?}");
        for _ in 0..20 {
            scores.note(Some((B, 0.99)), Some(A));
        }
        assert_eq!(scores.threshold(B, 0.9), NEVER, "it was wrong each time");
        assert_eq!(scores.confusions(2), [(B, A, 140), (A, B, 20)]);
        assert_eq!(scores.of(B).0, Some(0.0));
    }

    #[test]
    fn what_is_known_to_want_nothing_makes_no_suggestion_surer() {
        let mut scores = Scores::default();
        for number in 0..400_u32 {
            scores.note(Some((A, 0.8)), Some(if number % 10 < 7 { A } else { B }));
        }
        let before = scores.general(0.9);
        for _ in 0..3_600 {
            scores.note(Some((NONE, 0.8)), Some(NONE));
        }
        assert_eq!((scores.general(0.9), before), (0.9, 0.9), "at 0.8 seven in ten are right");
        assert!(scores.accuracy(4_000).unwrap() > 0.95);
    }

    #[test]
    fn predictions_that_suggest_nothing_prove_nothing() {
        let mut scores = Scores::default();
        for number in 0..100 {
            scores.note(if number % 2 == 0 { None } else { Some((NONE, 0.9)) }, Some(NONE));
        }
        (1..ALL_MIN).for_each(|_| scores.note(Some((A, 0.99)), Some(A)));
        assert!(scores.proved(A, 0.9).is_none());
        assert_eq!(scores.general(0.9), EARLY);
        scores.note(Some((A, 0.99)), Some(A));
        assert!(scores.proved(A, 0.9).is_some());
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut scores = Scores::default();
        for number in 0..20_000_u32 {
            scores.note(Some((IntentId(number % 97), 0.5)), Some(IntentId(number % 89)));
        }
        assert!(scores.confusions.len() <= CONFUSIONS_MAX && scores.all.0.len() == PREDICTIONS_MAX);
        assert!(scores.curve().len() <= ACCURACY_POINTS_MAX + 1);
        assert_eq!(scores.curve().last().unwrap().lessons, 20_000);
        assert!(scores.own.values().all(|own| own.predicted.0.len() <= INTENT_PREDICTIONS_MAX));
    }
}
