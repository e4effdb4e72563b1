//! The learner: adaptive regularisation of weights for many classes, by the true class against the best wrong ones
//! (Crammer, Kulesza, Dredze: Adaptive Regularization of Weight Vectors, Machine Learning 91, 2013, with a diagonal
//! covariance; Crammer, Dredze, Kulesza: Multi-Class Confidence Weighted Algorithms, EMNLP 2009).

use std::collections::VecDeque;

use smallvec::SmallVec;

use super::calibration::{Calibration, Verdict};
use super::row::Move;
use super::table::{CLASSES_MAX, Evidence, TEXT_STEPS, Table, WEIGHT_STEPS, Weighed};
use super::{Features, IntentId, Ranking, Recipe};
use crate::limits::{INTENT_REPLAYS_MAX, INTENTS_MAX};

/// How slowly variances shrink.
const REGULARISATION: f32 = 1.0;
/// What a feature counts in a class that has never had it, in texts.
const UNSEEN: f32 = 0.02;
/// Features that a class without texts is taken to have.
const CLASS_FEATURES: f32 = 1_000.0;
/// How much it counts against a class that it has many features. Naive Bayes says one; classes of very different sizes
/// are better told apart with half of it.
const SIZE_POWER: f32 = 0.5;
/// Texts up to which examples are looked at again with each lesson.
const REPLAY_SOON: u32 = 64;
/// Lessons to each time that they are, later: many at a time, so that most lessons are quick.
const REPLAY_EVERY: u32 = 8;
/// Texts up to which more of them are: what little is known is worth more time. Found on small parts of BANKING77 and
/// CLINC150 with intents of very different sizes.
const REPLAY_MORE: u32 = 1_000;
/// How many more to each lesson.
const REPLAYS_MORE: usize = 1;
/// What a text's likeness to an intent counts that has just come to be. Weights of old intents have been moved by many
/// texts and those of a new one by few, so that it would not be found for long. Found, like the next two, on held-out
/// parts of the training sets of BANKING77 and CLINC150 with a tenth of the intents left out.
const NEWNESS: f32 = 2.0;
/// Less is not looked at.
const NEWNESS_MIN: f32 = 0.02;
/// Features with which an intent counts half as new.
const NEW_FEATURES: f32 = 400.0;
/// Texts for each intent that are told meanwhile, after which it counts half as new: what is rare is not new for ever.
const NEW_TEXTS: f32 = 1.0;

/// One learner of intents.
#[derive(Debug, Clone)]
pub struct Intents {
    pub(super) recipe: Recipe,
    pub(super) classes: Vec<Class>,
    pub(super) table: Table,
    pub(super) calibration: Calibration,
    /// Examples that were not clear enough, the oldest first.
    pub(super) replays: VecDeque<Example>,
}

/// An intent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Class {
    pub(super) intent: IntentId,
    /// Features of its texts, in quarters.
    pub(super) features: u64,
    /// How many texts had been told of all intents when it came to be.
    pub(super) born: u32,
    /// What naive Bayes takes off for that.
    logarithm: f32,
}

impl Class {
    pub(super) fn new(intent: IntentId, features: u64, born: u32) -> Self {
        let logarithm = libm::logf(CLASS_FEATURES + features as f32 / (TEXT_STEPS * UNSEEN));
        Self { intent, features, born, logarithm }
    }
}

/// What was told.
#[derive(Debug, Clone)]
pub(super) struct Example {
    pub(super) features: Box<Features>,
    /// The text's hash.
    pub(super) text: u32,
    pub(super) intent: IntentId,
    pub(super) weight: f32,
}

impl Example {
    pub(super) fn new(features: Features, intent: IntentId, weight: f32) -> Self {
        Self { text: features.fingerprint, features: Box::new(features), intent, weight }
    }
}

impl Intents {
    /// One that knows nothing.
    #[must_use]
    pub fn new(recipe: Recipe) -> Self {
        Self {
            recipe,
            classes: Vec::new(),
            table: Table::new(Evidence::new(recipe.evidence(), UNSEEN)),
            calibration: Calibration::default(),
            replays: VecDeque::new(),
        }
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
        if weight <= 0.0 || features.is_empty() {
            return;
        }
        self.table.see(features);
        let weighed = self.table.weigh(features, 1);
        let scores = self.scores(&weighed);
        if let Some((best, signal)) = self.signal(&weighed, &scores) {
            let is_right = self.classes.get(usize::from(best)).is_some_and(|class| class.intent == intent);
            let verdict = if is_right { Verdict::Right } else { Verdict::Wrong };
            self.calibration.learn(signal, verdict, weight);
        }
        let Some(class) = self.class(intent) else { return };
        let loss = self.step(&weighed, class, weight);
        let steps = (weight * TEXT_STEPS + 0.5) as u16;
        self.table.count(&weighed, class, steps);
        if let Some(class) = self.classes.get_mut(usize::from(class)) {
            let counted = u64::from(steps) * weighed.values.len() as u64;
            *class = Class::new(intent, class.features.saturating_add(counted), class.born);
        }
        self.replay(features, intent, weight, loss);
    }

    /// The `most` likely intents of a text.
    #[must_use]
    pub fn rank(&self, features: &Features, most: usize) -> Ranking {
        let weighed = self.table.weigh(features, 0);
        let scores = self.scores(&weighed);
        let signal = self.signal(&weighed, &scores);
        let mut intents: Vec<(IntentId, f32)> =
            self.classes.iter().zip(scores).map(|(class, score)| (class.intent, score)).collect();
        let by_score = |a: &(IntentId, f32), b: &(IntentId, f32)| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
        if most > 0 && most < intents.len() {
            intents.select_nth_unstable_by(most - 1, by_score);
        }
        intents.truncate(most);
        intents.sort_unstable_by(by_score);
        // A text of which nothing is known could be of any intent.
        let confidence = match signal {
            Some((_, signal)) if !weighed.is_unknown() => self.calibration.probability(signal),
            _ => 0.0,
        };
        Ranking { intents, confidence }
    }

    /// What was learned of `from` is of `into` from now on.
    pub fn merge(&mut self, from: IntentId, into: IntentId) {
        let Some(gone) = self.place(from).filter(|_| from != into) else { return };
        self.replays
            .iter_mut()
            .filter(|example| example.intent == from)
            .for_each(|example| example.intent = into);
        let Some(kept) = self.place(into) else {
            if let Some(class) = self.classes.get_mut(usize::from(gone)) {
                class.intent = into;
            }
            return;
        };
        self.table.merge(gone, kept);
        let features = self.classes.get(usize::from(gone)).map_or(0, |class| class.features);
        if let Some(class) = self.classes.get_mut(usize::from(kept)) {
            *class = Class::new(into, class.features.saturating_add(features), class.born);
        }
        self.remove(from);
    }

    /// Forgets an intent.
    pub fn remove(&mut self, intent: IntentId) {
        let Some(gone) = self.place(intent) else { return };
        self.classes.remove(gone.into());
        self.table.remove(gone);
        self.replays.retain(|example| example.intent != intent);
    }

    /// Bytes of memory that it takes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let replays: usize = self.replays.iter().map(|example| example.features.bytes()).sum();
        let lists =
            self.replays.capacity() * size_of::<Example>() + self.classes.capacity() * size_of::<Class>();
        self.table.bytes() + replays + lists
    }

    fn place(&self, intent: IntentId) -> Option<u16> {
        let place = self.classes.iter().position(|class| class.intent == intent)?;
        u16::try_from(place).ok()
    }

    /// The class of an intent, which is made where there is room.
    fn class(&mut self, intent: IntentId) -> Option<u16> {
        let known = self.place(intent);
        if known.is_some() || self.classes.len() >= INTENTS_MAX {
            return known;
        }
        self.classes.push(Class::new(intent, 0, self.table.texts));
        u16::try_from(self.classes.len() - 1).ok()
    }

    /// Of each class, in order: what likeness counts because it is newer than the oldest; nothing where that is little of all.
    fn newness(&self) -> Vec<f32> {
        let turn = self.classes.len() as f32 * NEW_TEXTS;
        let newness = self.classes.iter().map(|class| {
            let few = NEW_FEATURES / (NEW_FEATURES + class.features as f32 / TEXT_STEPS);
            let since = self.table.texts.saturating_sub(class.born) as f32;
            NEWNESS * few * turn / (turn + since)
        });
        let mut newness: Vec<f32> = newness.collect();
        let least = newness.iter().copied().fold(f32::MAX, f32::min);
        newness.iter_mut().for_each(|new| *new -= least);
        if newness.iter().all(|new| *new < NEWNESS_MIN) { Vec::new() } else { newness }
    }

    /// Of each class, in order: what weights and counts say.
    fn scores(&self, weighed: &Weighed) -> Vec<f32> {
        let (mut scores, all) = self.table.scores(weighed, self.classes.len());
        let size = all * self.recipe.evidence() * SIZE_POWER;
        for (score, class) in scores.iter_mut().zip(&self.classes) {
            *score -= size * class.logarithm;
        }
        let newness = self.newness();
        if !newness.is_empty() {
            self.table.add_likeness(weighed, &newness, &mut scores);
        }
        scores
    }

    /// The best class, and how much speaks for it: how far it is before the next one, what weights alone say, the share of
    /// the text that it has seen, and against it, the share that no class has.
    fn signal(&self, weighed: &Weighed, scores: &[f32]) -> Option<(u16, f32)> {
        let (best, score) = best(scores, None)?;
        let next = self::best(scores, Some(best)).map_or(score, |(_, next)| next);
        let (mut seen, mut all, mut linear) = (0.0, 0.0, 0.0);
        for (row, value) in self.table.valued(weighed) {
            all += value * value;
            let cell = row.cell(best);
            linear += value / WEIGHT_STEPS * f32::from(cell.weight);
            if cell.texts > 0 {
                seen += value * value;
            }
        }
        let seen = if all > 0.0 { seen / all } else { 0.0 };
        Some((best, score - next + linear + seen - 0.5 * weighed.unknown))
    }

    /// Moves the true class and the best wrong ones apart where they are less than one apart. Gives how far that was
    /// missed.
    fn step(&mut self, weighed: &Weighed, class: u16, weight: f32) -> f32 {
        let linear = self.table.linear(weighed, self.classes.len());
        let truth = linear.get(usize::from(class)).copied().unwrap_or_default();
        let mut wrong: SmallVec<[(u16, f32); CLASSES_MAX]> = SmallVec::new();
        for (other, score) in (0_u16..).zip(&linear) {
            let loss = 1.0 - (truth - score);
            if other == class || loss <= 0.0 {
                continue;
            }
            let place = wrong.partition_point(|(_, worse)| *worse >= loss);
            if place < CLASSES_MAX - 1 {
                wrong.truncate(CLASSES_MAX - 2);
                wrong.insert(place, (other, loss));
            }
        }
        let Some((_, worst)) = wrong.first().copied() else { return 0.0 };
        let all: f32 = wrong.iter().map(|(_, loss)| loss).sum();
        let classes: SmallVec<[u16; CLASSES_MAX]> =
            [class].into_iter().chain(wrong.iter().map(|(other, _)| *other)).collect();
        let [own, others @ ..] = self.table.spreads(weighed, &classes);
        let mut truth = Move { class, ..Move::default() };
        let mut moves: SmallVec<[Move; CLASSES_MAX]> = SmallVec::new();
        moves.push(truth);
        for ((other, loss), spread) in wrong.iter().zip(others) {
            let beta = weight * loss / all / (own + spread + REGULARISATION);
            moves.push(Move { class: *other, step: -loss * beta, shrink: beta });
            truth.step += loss * beta;
            truth.shrink += beta;
        }
        if let Some(first) = moves.first_mut() {
            *first = truth;
        }
        self.table.update(weighed, &moves);
        worst
    }

    /// Keeps an example that was not clear, and looks at the oldest of those again.
    fn replay(&mut self, features: &Features, intent: IntentId, weight: f32, loss: f32) {
        if self.recipe.replays() == 0 {
            return;
        }
        // The newest label of a text is the one that holds.
        let text = features.fingerprint;
        self.replays.retain(|example| example.text != text || example.intent == intent);
        if loss > 0.0 {
            self.keep(Example::new(features.clone(), intent, weight));
        }
        let texts = self.table.texts;
        let every = if texts < REPLAY_SOON { 1 } else { REPLAY_EVERY };
        if !texts.is_multiple_of(every) {
            return;
        }
        let more = if texts < REPLAY_MORE { REPLAYS_MORE } else { 0 };
        for _ in 0..(self.recipe.replays() + more) * every as usize {
            let Some(example) = self.replays.pop_front() else { return };
            let Some(class) = self.place(example.intent) else { continue };
            let weighed = self.table.weigh(&example.features, 0);
            if self.step(&weighed, class, example.weight) > 0.0 {
                self.keep(example);
            }
        }
    }

    fn keep(&mut self, example: Example) {
        if self.replays.len() >= INTENT_REPLAYS_MAX {
            self.replays.pop_front();
        }
        self.replays.push_back(example);
    }
}

/// The first class with the highest score, but for one.
fn best(scores: &[f32], but: Option<u16>) -> Option<(u16, f32)> {
    let mut best: Option<(u16, f32)> = None;
    for (class, score) in (0_u16..).zip(scores) {
        if Some(class) != but && best.is_none_or(|(_, best)| *score > best) {
            best = Some((class, *score));
        }
    }
    best
}
