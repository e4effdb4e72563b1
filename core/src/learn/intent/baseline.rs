//! Other online learners, to compare: what the learner of intents has to be better than, on the same features.

use rustc_hash::FxHashMap;

use super::table::rarity;
use super::{Features, IntentId, Ranking};

/// A way to learn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Passive-aggressive with slack, PA-I (Crammer et al., JMLR 7, 2006).
    PassiveAggressive,
    /// The perceptron with averaged weights (Freund and Schapire, Machine Learning 37, 1999).
    AveragedPerceptron,
    /// Multinomial naive Bayes.
    NaiveBayes,
    /// The nearest centroid by cosine (Rocchio).
    Centroid,
}

impl Method {
    /// Every one.
    pub const ALL: [Self; 4] =
        [Self::PassiveAggressive, Self::AveragedPerceptron, Self::NaiveBayes, Self::Centroid];

    /// As tables have it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::PassiveAggressive => "passive-aggressive",
            Self::AveragedPerceptron => "averaged perceptron",
            Self::NaiveBayes => "naive Bayes",
            Self::Centroid => "centroid",
        }
    }
}

/// PA-I's slack.
const SLACK: f32 = 0.1;
/// What naive Bayes adds to each count, and the features it takes there to be.
const SMOOTHING: (f32, f32) = (0.01, 1_000.0);

/// Texts that had a feature, and two numbers for each class.
type Row = (u32, Vec<(f32, f32)>);

/// A learner for comparisons: not bounded, not saved, without calibration.
#[derive(Debug, Clone)]
pub struct Baseline {
    method: Method,
    classes: Vec<IntentId>,
    /// Of each class: its counts, or the square of its centroid's length.
    sums: Vec<f32>,
    texts: u32,
    steps: f32,
    rows: FxHashMap<u32, Row>,
}

impl Baseline {
    /// One that knows nothing.
    #[must_use]
    pub fn new(method: Method) -> Self {
        let rows = FxHashMap::default();
        Self { method, classes: Vec::new(), sums: Vec::new(), texts: 0, steps: 1.0, rows }
    }

    /// Learns that a text is of `intent`.
    pub fn learn(&mut self, features: &Features, intent: IntentId) {
        let known = self.classes.iter().position(|class| *class == intent);
        let class = known.unwrap_or_else(|| {
            self.classes.push(intent);
            self.sums.push(0.0);
            self.classes.len() - 1
        });
        self.texts = self.texts.saturating_add(1);
        for (hash, _) in features.words.iter().chain(&features.grams) {
            self.rows.entry(*hash).or_default().0 += 1;
        }
        let values = self.weigh(features);
        match self.method {
            Method::NaiveBayes | Method::Centroid => self.count(&values, class),
            Method::PassiveAggressive | Method::AveragedPerceptron => self.step(&values, class),
        }
    }

    /// The `most` likely intents; the confidence is only good to compare with.
    #[must_use]
    pub fn rank(&self, features: &Features, most: usize) -> Ranking {
        let scores = self.scores(&self.weigh(features), false);
        let mut intents: Vec<_> = self.classes.iter().copied().zip(scores).collect();
        intents.sort_unstable_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        let ahead = match intents.as_slice() {
            [best, next, ..] => best.1 - next.1,
            _ => 0.0,
        };
        intents.truncate(most);
        Ranking { intents, confidence: ahead / (1.0 + ahead) }
    }

    /// Bytes of memory that it takes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let cells: usize = self.rows.values().map(|row| row.1.capacity() * size_of::<(f32, f32)>()).sum();
        cells + self.rows.capacity() * (size_of::<(u32, Row)>() + 1)
    }

    fn weigh(&self, features: &Features) -> Vec<(u32, f32)> {
        let mut values = Vec::with_capacity(features.len());
        for block in [&features.words, &features.grams] {
            let start = values.len();
            for (hash, count) in block {
                let Some(row) = self.rows.get(hash) else { continue };
                values.push((
                    *hash,
                    count * rarity(libm::logf((self.texts as f32 + 1.0) / (row.0 as f32 + 0.5))),
                ));
            }
            let square: f32 = values.iter().skip(start).map(|(_, value)| value * value).sum();
            let scale = if square > 0.0 { 1.0 / libm::sqrtf(square) } else { 0.0 };
            values.iter_mut().skip(start).for_each(|(_, value)| *value *= scale);
        }
        values
    }

    /// Scores of all classes; `is_training` leaves out the averaging.
    fn scores(&self, values: &[(u32, f32)], is_training: bool) -> Vec<f32> {
        let mut scores = vec![0.0; self.classes.len()];
        for (hash, value) in values {
            let Some((_, cells)) = self.rows.get(hash) else { continue };
            for (score, cell) in scores.iter_mut().zip(cells) {
                *score += value
                    * match self.method {
                        Method::AveragedPerceptron if !is_training => cell.0 - cell.1 / self.steps,
                        Method::NaiveBayes => libm::logf(1.0 + cell.0 / SMOOTHING.0),
                        _ => cell.0,
                    };
            }
        }
        let all: f32 = values.iter().map(|(_, value)| value).sum();
        for (score, sum) in scores.iter_mut().zip(&self.sums) {
            match self.method {
                Method::NaiveBayes => *score -= all * libm::logf(SMOOTHING.1 + sum / SMOOTHING.0),
                Method::Centroid if *sum > 0.0 => *score /= libm::sqrtf(*sum),
                _ => {}
            }
        }
        scores
    }

    fn count(&mut self, values: &[(u32, f32)], class: usize) {
        for (hash, value) in values {
            let Some(cell) = cell(&mut self.rows, *hash, class) else { continue };
            let before = cell.0;
            cell.0 += value;
            let Some(sum) = self.sums.get_mut(class) else { continue };
            *sum +=
                if self.method == Method::Centroid { 2.0 * before * value + value * value } else { *value };
        }
    }

    fn step(&mut self, values: &[(u32, f32)], class: usize) {
        self.steps += 1.0;
        let scores = self.scores(values, true);
        let wrong = scores.iter().enumerate().filter(|(other, _)| *other != class);
        let Some((wrong, best)) = wrong.max_by(|a, b| a.1.total_cmp(b.1)) else { return };
        let ahead = scores.get(class).copied().unwrap_or_default() - best;
        let square: f32 = values.iter().map(|(_, value)| value * value).sum();
        let step = match self.method {
            Method::AveragedPerceptron if ahead <= 0.0 => 1.0,
            Method::PassiveAggressive if ahead < 1.0 => {
                ((1.0 - ahead) / (2.0 * square).max(f32::MIN_POSITIVE)).min(SLACK)
            }
            _ => return,
        };
        for (hash, value) in values {
            for (class, step) in [(class, step * value), (wrong, -step * value)] {
                let Some(cell) = cell(&mut self.rows, *hash, class) else { continue };
                cell.0 += step;
                cell.1 += step * self.steps;
            }
        }
    }
}

fn cell(rows: &mut FxHashMap<u32, Row>, hash: u32, class: usize) -> Option<&mut (f32, f32)> {
    let cells = &mut rows.get_mut(&hash)?.1;
    if cells.len() <= class {
        cells.resize(class + 1, (0.0, 0.0));
    }
    cells.get_mut(class)
}
