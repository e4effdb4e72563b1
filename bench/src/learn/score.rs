//! What answers are worth: the same count for Waggle's learners and for peers.

use serde::{Deserialize, Serialize};

use crate::result::Figures;

/// Bins of the reliability diagram, of equal width.
pub(super) const BINS: usize = 10;
/// Precisions that recall is given at.
const PRECISIONS: [(f64, &str); 3] = [(0.90, "90"), (0.95, "95"), (0.98, "98")];

/// What was said about one message.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Outcome {
    /// How sure the learner was; a probability where it has one.
    pub confidence: f64,
    /// Its first is right; never, out of scope.
    pub is_right: bool,
    /// The right one is among its first three.
    pub is_in_three: bool,
    /// There is a right one.
    pub is_in_scope: bool,
}

impl Outcome {
    /// Of a message whose intent is `wanted`; none is out of scope.
    #[must_use]
    pub(super) fn of(best: &[u32], confidence: f64, wanted: Option<u32>) -> Self {
        Self {
            confidence: if confidence.is_finite() { confidence } else { 0.0 },
            is_right: wanted.is_some() && best.first().copied() == wanted,
            is_in_three: wanted.is_some_and(|wanted| best.iter().take(3).any(|one| *one == wanted)),
            is_in_scope: wanted.is_some(),
        }
    }
}

/// Messages of like confidence.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Bin {
    /// Messages.
    pub count: u64,
    /// Their mean confidence.
    pub confidence: f64,
    /// The share of them that were answered right.
    pub right: f64,
}

/// Counts; `is_probability` says whether confidences can be compared with shares.
#[must_use]
pub(super) fn figures(outcomes: &[Outcome], is_probability: bool) -> Figures {
    let mut figures = Figures::new();
    let (inside, outside): (Vec<&Outcome>, Vec<&Outcome>) =
        outcomes.iter().partition(|outcome| outcome.is_in_scope);
    let share = |of: fn(&Outcome) -> bool| {
        inside.iter().filter(|outcome| of(outcome)).count() as f64 / inside.len().max(1) as f64
    };
    figures.insert("accuracy_percent".into(), share(|outcome| outcome.is_right) * 100.0);
    figures.insert("in_three_percent".into(), share(|outcome| outcome.is_in_three) * 100.0);
    let confidences = |outcomes: &[&Outcome]| outcomes.iter().map(|it| it.confidence).collect::<Vec<_>>();
    if let Some(area) = auroc(&confidences(&inside), &confidences(&outside)) {
        figures.insert("auroc".into(), area);
    }
    for (precision, name) in PRECISIONS {
        figures.insert(format!("recall_at_{name}_percent"), recall_at(outcomes, precision) * 100.0);
    }
    if is_probability {
        figures.insert("ece_percent".into(), calibration_error(&bins(outcomes)) * 100.0);
    }
    figures
}

/// The probability that a message in scope has a higher confidence than one out of scope; equal ones count half
/// (Mann and Whitney's U, scaled).
#[must_use]
pub(super) fn auroc(inside: &[f64], outside: &[f64]) -> Option<f64> {
    if inside.is_empty() || outside.is_empty() {
        return None;
    }
    let both = inside.iter().map(|it| (*it, true)).chain(outside.iter().map(|it| (*it, false)));
    let mut all: Vec<(f64, bool)> = both.collect();
    all.sort_by(|one, other| one.0.total_cmp(&other.0));
    let (mut wins, mut below) = (0.0, 0.0);
    for equal in all.chunk_by(|one, other| one.0 == other.0) {
        let inside = equal.iter().filter(|(_, is_inside)| *is_inside).count() as f64;
        let outside = equal.len() as f64 - inside;
        wins += inside * (below + outside / 2.0);
        below += outside;
    }
    Some(wins / (inside.len() as f64 * outside.len() as f64))
}

/// The largest share of the messages in scope that can be answered right, where at least `precision` of all answers
/// are right; a message is answered where its confidence is at least a threshold. The threshold is the best one
/// for these outcomes, so this is what a perfectly set threshold would bring.
#[must_use]
pub(super) fn recall_at(outcomes: &[Outcome], precision: f64) -> f64 {
    let mut sorted: Vec<&Outcome> = outcomes.iter().collect();
    sorted.sort_by(|one, other| other.confidence.total_cmp(&one.confidence));
    let inside = sorted.iter().filter(|outcome| outcome.is_in_scope).count().max(1) as f64;
    let (mut answered, mut right, mut best) = (0.0, 0.0, 0.0);
    for equal in sorted.chunk_by(|one, other| one.confidence == other.confidence) {
        answered += equal.len() as f64;
        right += equal.iter().filter(|outcome| outcome.is_right).count() as f64;
        if right >= precision * answered {
            best = right / inside;
        }
    }
    best
}

/// Messages by confidence.
#[must_use]
pub(super) fn bins(outcomes: &[Outcome]) -> Vec<Bin> {
    let mut bins = vec![Bin::default(); BINS];
    for outcome in outcomes {
        let place = ((outcome.confidence * BINS as f64) as usize).min(BINS - 1);
        let Some(bin) = bins.get_mut(place) else { continue };
        bin.count += 1;
        bin.confidence += outcome.confidence;
        bin.right += f64::from(u8::from(outcome.is_right));
    }
    for bin in &mut bins {
        let count = bin.count.max(1) as f64;
        bin.confidence /= count;
        bin.right /= count;
    }
    bins
}

/// Expected calibration error: how far confidence and share of right answers are apart, weighed by messages
/// (Naeini, Cooper, Hauskrecht, 2015).
#[must_use]
pub(super) fn calibration_error(bins: &[Bin]) -> f64 {
    let all = bins.iter().map(|bin| bin.count).sum::<u64>().max(1) as f64;
    bins.iter().map(|bin| bin.count as f64 / all * (bin.confidence - bin.right).abs()).sum()
}

/// Mean and standard deviation (of a sample) of each figure, over the runs that have it.
#[must_use]
pub(super) fn mean_and_spread(runs: &[Figures]) -> (Figures, Figures) {
    let (mut means, mut spreads) = (Figures::new(), Figures::new());
    for name in runs.iter().flat_map(Figures::keys) {
        if means.contains_key(name) {
            continue;
        }
        let values: Vec<f64> = runs.iter().filter_map(|run| run.get(name).copied()).collect();
        let count = values.len() as f64;
        let mean = values.iter().sum::<f64>() / count;
        let square: f64 = values.iter().map(|value| (value - mean) * (value - mean)).sum();
        means.insert(name.clone(), mean);
        if values.len() > 1 {
            spreads.insert(name.clone(), (square / (count - 1.0)).sqrt());
        }
    }
    (means, spreads)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(confidence: f64, is_right: bool, is_in_scope: bool) -> Outcome {
        Outcome { confidence, is_right, is_in_three: is_right, is_in_scope }
    }

    #[test]
    fn auroc_counts_pairs() {
        assert_eq!(auroc(&[0.9, 0.8], &[0.1, 0.2]), Some(1.0));
        assert_eq!(auroc(&[0.1], &[0.9]), Some(0.0));
        assert_eq!(auroc(&[0.5, 0.5], &[0.5]), Some(0.5));
        assert_eq!(auroc(&[0.3, 0.7], &[0.5]), Some(0.5));
        assert_eq!(auroc(&[], &[0.5]), None);
    }

    #[test]
    fn recall_is_of_messages_in_scope() {
        let outcomes = [
            outcome(0.9, true, true),
            outcome(0.8, true, true),
            outcome(0.7, false, false),
            outcome(0.6, true, true),
            outcome(0.5, false, true),
        ];
        assert_eq!(recall_at(&outcomes, 1.0), 0.5);
        assert_eq!(recall_at(&outcomes, 0.75), 0.75);
        assert_eq!(recall_at(&outcomes, 0.0), 0.75);
    }

    #[test]
    fn a_learner_as_right_as_it_says_has_no_error() {
        let sure = |count: usize, right: usize, confidence: f64| {
            (0..count).map(move |n| outcome(confidence, n < right, true))
        };
        let good: Vec<_> = sure(10, 9, 0.9).chain(sure(10, 5, 0.5)).collect();
        assert!(calibration_error(&bins(&good)) < 1e-9);
        let bad: Vec<_> = sure(10, 5, 1.0).collect();
        assert!((calibration_error(&bins(&bad)) - 0.5).abs() < 1e-9);
    }

    #[test]
    fn outcomes_know_first_and_three() {
        let second = Outcome::of(&[4, 7, 9, 1], f64::NAN, Some(7));
        assert!(!second.is_right && second.is_in_three && second.confidence == 0.0);
        assert!(!Outcome::of(&[4, 7, 9, 1], 0.5, Some(1)).is_in_three);
        let outside = Outcome::of(&[4], 0.5, None);
        assert!(!outside.is_right && !outside.is_in_scope);
    }

    #[test]
    fn means_have_spreads() {
        let run = |value: f64| Figures::from([("a".to_owned(), value)]);
        let (mean, spread) = mean_and_spread(&[run(1.0), run(3.0)]);
        assert_eq!(mean["a"], 2.0);
        assert!((spread["a"] - 2.0_f64.sqrt()).abs() < 1e-9);
        assert!(mean_and_spread(&[run(1.0)]).1.is_empty());
        let (mean, spread) = mean_and_spread(&[Figures::from([("b".to_owned(), 5.0)]), run(1.0), run(3.0)]);
        assert_eq!((mean["a"], mean["b"], spread.contains_key("b")), (2.0, 5.0, false));
    }
}
