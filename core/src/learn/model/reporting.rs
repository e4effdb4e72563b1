//! How the assistant does.

use super::names::NONE;
use super::{Contender, Model};
use crate::learn::intent::{IntentId, Recipe};
use crate::learn::mode::PRECISION_WANTED;
use crate::learn::report::{AgentReport, Confusion, IntentReport, Promotion, QueueMode, Report, TrialReport};

const CONFUSIONS_SHOWN: usize = 20;

impl Model {
    /// How it does: thresholds are those for [`PRECISION_WANTED`].
    #[must_use]
    pub fn report(&self) -> Report {
        let all = [Some(&self.champion), self.challenger.as_ref()];
        let barred = |recipe: &Recipe| self.barred.contains(recipe.name());
        Report {
            model: self.version(),
            position: self.position,
            lessons: self.lessons,
            labelled: self.labelled,
            bytes: all.into_iter().flatten().map(|contender| contender.learner.bytes()).sum(),
            champion: self.champion.report(PRECISION_WANTED),
            challenger: self.challenger.as_ref().map(|challenger| challenger.report(PRECISION_WANTED)),
            trial: self.challenger.as_ref().map(|_| TrialReport {
                challenger_only: self.trial.challenger_only,
                champion_only: self.trial.champion_only,
                e_value: self.trial.e_value(),
                needed: 1.0 / self.settings.alpha,
            }),
            promotions: self.promotions.iter().cloned().collect(),
            barred: Recipe::ALL.into_iter().filter(barred).map(Recipe::name).collect(),
            intents: self.intents(&self.champion),
            confusions: self.confusions(),
            agents: self
                .teachers
                .agents
                .iter()
                .map(|(agent, teacher)| AgentReport {
                    agent: *agent,
                    lessons: teacher.lessons,
                    agreement: teacher.agreement(),
                    weight: self.teachers.general_weight(*agent),
                })
                .collect(),
            modes: self.modes.iter().map(|(queue, mode)| QueueMode { queue: *queue, mode: *mode }).collect(),
            tag_prefix: self.settings.tag_prefix.clone(),
            replies: self.replies.len(),
        }
    }

    /// The newest changes of champions, the newest last.
    pub fn promotions(&self) -> impl Iterator<Item = &Promotion> {
        self.promotions.iter()
    }

    fn intents(&self, champion: &Contender) -> Vec<IntentReport> {
        let mut intents: Vec<_> = self.names.entries.iter().collect();
        intents.sort_by(|(a, one), (b, other)| {
            other.name.is_some().cmp(&one.name.is_some()).then(other.lessons.cmp(&one.lessons)).then(a.cmp(b))
        });
        let report = |intent: IntentId, lessons: u32| {
            let (precision, recall, support) = champion.scores.of(intent);
            IntentReport {
                name: self.names.name(intent),
                lessons,
                precision,
                recall,
                support,
                threshold: champion.scores.threshold(intent, PRECISION_WANTED),
                replies: self.replies.count(intent),
            }
        };
        intents.into_iter().map(|(intent, entry)| report(*intent, entry.lessons)).collect()
    }

    fn confusions(&self) -> Vec<Confusion> {
        let name =
            |intent: IntentId| if intent == NONE { "none".to_owned() } else { self.names.name(intent) };
        let all = self.champion.scores.confusions(CONFUSIONS_SHOWN).into_iter();
        all.map(|(taught, predicted, times)| Confusion {
            taught: name(taught),
            predicted: name(predicted),
            times,
        })
        .collect()
    }
}
