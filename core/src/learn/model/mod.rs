//! A tenant's model: the fold of all lessons.

mod contender;
mod decide;
mod heard;
mod learned;
mod lessons;
mod names;
mod replies;
mod reporting;
mod said;
mod scores;
mod storing;
mod suggesting;
mod teachers;
mod teaching;
mod template;
mod trial;
mod uses;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Range;

use serde::{Deserialize, Serialize};

use self::contender::Contender;
use self::heard::HeardWords;
use self::learned::{Known, Learned};
use self::names::{NONE, Names};
use self::replies::Replies;
use self::said::SaidWords;
use self::teachers::Teachers;
use self::trial::Trial;
use super::dialogue::hash_text;
use super::intent::{Features, Featurizer, IntentId, Recipe};
use super::lesson::{Asked, Lesson, What};
use super::mode::Mode;
use super::notice::Notice;
use super::report::Promotion;
use super::suggestion::ModelVersion;
use crate::id::{AgentId, Offset, QueueId};
use crate::limits::PROMOTIONS_MAX;
use crate::time::Timestamp;

/// A confidence from which on the model is taken to know what a message wants, where a lesson is weighed against it.
const SURE: f32 = 0.5;
/// The trust from which on an agent's lessons tell whether predictions are right.
const TRUST_TO_SCORE: f32 = 0.5;
/// Lessons that tell whether one intent comes in a flood.
const FLOOD_LESSONS: usize = 256;

/// A tenant's model. All that is in it follows from the lessons, in their order.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Model {
    position: Offset,
    version: Offset,
    lessons: u64,
    labelled: u64,
    settings: Settings,
    names: Names,
    replies: Replies,
    said: SaidWords,
    heard: HeardWords,
    learned: Learned,
    teachers: Teachers,
    champion: Contender,
    challenger: Option<Contender>,
    trial: Trial,
    /// Names of recipes.
    barred: BTreeSet<String>,
    promotions: VecDeque<Promotion>,
    #[serde(with = "storing::modes")]
    modes: BTreeMap<QueueId, Mode>,
    /// When automatic replies were sent, within an hour before the newest.
    sent: BTreeMap<QueueId, VecDeque<Timestamp>>,
    /// The intents of the newest lessons, and hashes of their messages.
    newest: VecDeque<(IntentId, u64)>,
}

/// What a message was taken for: intent and confidence.
#[derive(Debug, Clone, Copy, Default)]
struct Predicted {
    champion: Option<(IntentId, f32)>,
    challenger: Option<(IntentId, f32)>,
}

/// How the tenant wants it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Settings {
    tag_prefix: String,
    alpha: f64,
    has_challenger: bool,
}

impl Default for Model {
    fn default() -> Self {
        Self {
            position: Offset(0),
            version: Offset(0),
            lessons: 0,
            labelled: 0,
            settings: Settings { tag_prefix: "intent:".to_owned(), alpha: 0.01, has_challenger: true },
            names: Names::default(),
            replies: Replies::default(),
            said: SaidWords::default(),
            heard: HeardWords::default(),
            learned: Learned::default(),
            teachers: Teachers::default(),
            champion: Contender::new(Recipe::default()),
            challenger: challenger_of(Recipe::default(), &BTreeSet::new()).map(Contender::new),
            trial: Trial::default(),
            barred: BTreeSet::new(),
            promotions: VecDeque::new(),
            modes: BTreeMap::new(),
            sent: BTreeMap::new(),
            newest: VecDeque::new(),
        }
    }
}

/// The recipe that challenges this one: the first other one that is not barred.
fn challenger_of(champion: Recipe, barred: &BTreeSet<String>) -> Option<Recipe> {
    Recipe::ALL.into_iter().find(|other| *other != champion && !barred.contains(other.name()))
}

impl Model {
    /// One that knows nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Learns what the event at `offset` teaches, and tells what has changed beyond weights. A lesson of an event that was
    /// seen already is left out.
    pub fn learn(&mut self, offset: Offset, lesson: &Lesson) -> Vec<Notice> {
        let mut notices = Vec::new();
        if offset <= self.position {
            return notices;
        }
        self.position = offset;
        self.replies.come_with(offset);
        self.lessons = self.lessons.saturating_add(1);
        let has_learned = match &lesson.what {
            What::Reply(replied) => self.reply(replied, &mut notices),
            What::Judged(judged) => self.judge(judged),
            What::Labelled(labelled) => self.label(labelled, &mut notices),
            What::Outcome(outcome) => self.outcome(outcome),
            What::Sent(sent) => {
                self.send(*sent);
                false
            }
            What::Teach(teach) => {
                self.teach(teach, &mut notices);
                true
            }
            What::Unreadable(why) => {
                notices.push(Notice::Ignored { why: why.clone() });
                false
            }
        };
        if has_learned {
            self.version = offset;
            self.try_challenger(&mut notices);
        }
        notices
    }

    /// Goes on over an event that teaches nothing.
    pub fn pass(&mut self, offset: Offset) {
        self.position = self.position.max(offset);
    }

    /// The newest event that it has seen.
    #[must_use]
    pub fn position(&self) -> Offset {
        self.position
    }

    /// Which model it is.
    #[must_use]
    pub fn version(&self) -> ModelVersion {
        ModelVersion { version: self.version, recipe: self.champion.recipe().name() }
    }

    /// What it may do in a queue.
    #[must_use]
    pub fn mode(&self, queue: QueueId) -> Mode {
        self.modes.get(&queue).copied().unwrap_or_default()
    }

    /// Whether there is a reply of this number.
    #[must_use]
    pub fn has_reply(&self, id: u64) -> bool {
        self.replies.find(id).is_some()
    }

    /// Which share of its newest 1,000 predictions was right; nothing where there are none.
    #[must_use]
    pub fn accuracy(&self) -> Option<f32> {
        self.champion.scores.accuracy(1_000)
    }

    fn features(text: &str) -> Features {
        Featurizer::new().features(text)
    }

    /// What both learners take a message for, before it is learned.
    fn predict(&self, features: &Features) -> Predicted {
        let challenger = self.challenger.as_ref().and_then(|challenger| challenger.predict(features));
        Predicted { champion: self.champion.predict(features), challenger }
    }

    /// Scores predictions of a message that a lesson tells the intent of: `taught` is nothing where the intent is new, or
    /// none. Who is hardly trusted says nothing of what is right.
    fn score(&mut self, predicted: &Predicted, taught: Option<IntentId>, asked: &Asked, by: AgentId) {
        if self.teachers.weight(by, taught.unwrap_or(NONE)) < TRUST_TO_SCORE {
            return;
        }
        self.labelled = self.labelled.saturating_add(1);
        self.champion.scores.note(predicted.champion, taught);
        let Some(challenger) = &mut self.challenger else { return };
        challenger.scores.note(predicted.challenger, taught);
        let is_right = |predicted: Option<(IntentId, f32)>| predicted.map(|(intent, _)| intent) == taught;
        if taught.is_some() {
            let text = hash_text(asked.requester.number().into(), &asked.text);
            self.trial.note(text, is_right(predicted.challenger), is_right(predicted.champion));
        }
    }

    /// Learns that a message is of `intent`: of a whole lesson the part from what it was learned with before. Where many lessons of late are of this one and a learner knows the message
    /// surely, it learns nothing: a flood of one intent moves no weights of others.
    fn learn_intent(
        &mut self,
        asked: &Asked,
        features: &Features,
        predicted: &Predicted,
        intent: IntentId,
        part: Range<f32>,
        by: AgentId,
    ) {
        if intent != NONE {
            self.heard.hear(&asked.text);
        }
        let is_sure = |(intent, confidence): (IntentId, f32)| (confidence >= SURE).then_some(intent);
        // What makes up a lesson to a whole one is no other lesson.
        let is_first = part.start <= 0.0;
        if is_first {
            self.teachers.note(by, intent, predicted.champion.and_then(is_sure));
        }
        let weight = (part.end - part.start) * self.teachers.weight(by, intent);
        let text = hash_text(0x6d, &asked.text);
        let recent = self.newest.iter().filter(|(newest, _)| *newest == intent).count();
        // The more it is a flood, the less sure it has to be. The same words again tell nothing.
        let sure_enough = match recent * 4 / FLOOD_LESSONS {
            _ if self.newest.contains(&(intent, text)) => SURE,
            0 => 2.0,
            1 => 0.9,
            _ => SURE,
        };
        let is_known = |predicted: Option<(IntentId, f32)>| {
            predicted.is_some_and(|(best, confidence)| best == intent && confidence >= sure_enough)
        };
        if !is_known(predicted.champion) {
            self.champion.learner.learn(features, intent, weight);
        }
        if let Some(challenger) = self.challenger.as_mut().filter(|_| !is_known(predicted.challenger)) {
            challenger.learner.learn(features, intent, weight);
        }
        if is_first {
            if self.newest.len() >= FLOOD_LESSONS {
                self.newest.pop_front();
            }
            self.newest.push_back((intent, text));
        }
    }

    /// Takes note of what a message is known as: it counts for that intent, and for no other one.
    fn remember(&mut self, asked: &Asked, known: Known) {
        let before = self.learned.get(asked.ticket, asked.message).map(|before| before.intent);
        self.names.count(before, known.intent, self.lessons);
        self.learned.set(asked.ticket, asked.message, known);
    }

    /// Folds an intent into another one, everywhere.
    fn merge_intents(&mut self, from: IntentId, into: IntentId) {
        self.champion.merge(from, into);
        if let Some(challenger) = &mut self.challenger {
            challenger.merge(from, into);
        }
        self.names.merge(from, into);
        let moved = self.replies.merge(from, into);
        self.learned.merge(from, into, &moved);
        self.teachers.merge(from, into);
    }

    fn remove_intent(&mut self, intent: IntentId) {
        self.champion.remove(intent);
        if let Some(challenger) = &mut self.challenger {
            challenger.remove(intent);
        }
        self.names.remove(intent);
        self.replies.remove(intent);
        self.learned.remove(intent);
        self.teachers.forget(intent);
    }

    /// Promotes the challenger where it has proved to be better.
    fn try_challenger(&mut self, notices: &mut Vec<Notice>) {
        let (e_value, needed) = (self.trial.e_value(), 1.0 / self.settings.alpha);
        if self.challenger.is_none() || e_value < needed {
            return;
        }
        let Trial { challenger_only, champion_only, .. } = self.trial;
        let why = format!(
            "it alone was right {challenger_only} times, the champion alone {champion_only} times: an e-value of \
             {e_value:.1}, of {needed:.0} needed"
        );
        self.promote(why, notices);
    }

    /// The challenger becomes the champion; the champion becomes a challenger whose evidence begins anew.
    fn promote(&mut self, why: String, notices: &mut Vec<Notice>) {
        let Some(challenger) = &mut self.challenger else { return };
        std::mem::swap(&mut self.champion, challenger);
        self.trial.begin_anew();
        let recipe = self.champion.recipe().name();
        if self.promotions.len() >= PROMOTIONS_MAX {
            self.promotions.pop_front();
        }
        let promotion = Promotion { offset: self.position, recipe: recipe.to_owned(), why: why.clone() };
        self.promotions.push_back(promotion);
        notices.push(Notice::Promoted { recipe, why });
    }
}

#[cfg(test)]
mod tests;
