//! What single dialogues teach.

use super::learned::Known;
use super::names::{NONE, tidy};
use super::replies::Worth;
use super::template::Template;
use super::uses::{Counted, How};
use super::{Model, Notice, Predicted};
use crate::learn::intent::{Features, IntentId};
use crate::learn::lesson::{Judged, Label, Labelled, Outcome, Replied, Sent};
use crate::limits::AUTOMATIC_PER_HOUR_MAX;
use crate::ticket::Verdict;

/// What a lesson counts where a reply tells the intent because it is like others.
const WEIGHT_LIKE: f32 = 0.5;
/// What it counts where a suggestion was sent with changes.
const WEIGHT_EDITED: f32 = 0.8;
/// Times that a message whose label has changed is learned at most: until the new one comes first.
const RELABEL_TIMES_MAX: usize = 4;
/// Distinct words of a reply that can tell an intent by being like others: `Thank you!` tells none.
const TELLING_WORDS_MIN: usize = 4;
const HALF_GOOD_OUTCOME: Worth = Worth { good: 0.5, bad: 0.0 };
const HOUR_MS: u64 = 3_600_000;

/// What an agent's reply says about the message's intent.
struct Told {
    intent: IntentId,
    weight: f32,
    is_said: bool,
    shows: Shows,
}

/// What a lesson shows of predictions that were made before it.
#[derive(Clone, Copy)]
enum Shows {
    /// The intent was this one.
    Is(IntentId),
    /// It was none that was known by then: whatever was suggested was wrong.
    Other,
    Nothing,
}

impl Shows {
    fn of(intent: IntentId, is_known: bool) -> Self {
        if is_known { Self::Is(intent) } else { Self::Other }
    }
}

impl Model {
    pub(super) fn reply(&mut self, replied: &Replied, notices: &mut Vec<Notice>) -> bool {
        let asked = &replied.asked;
        let features = Self::features(&asked.text);
        let lesson = self.lessons;
        if let Some(wrong) = replied.corrects {
            self.replies.reject(wrong, &asked.context, lesson);
        }
        let template = replied.wording.as_ref().map(|wording| {
            for word in &wording.said {
                self.said.say(*word, asked.requester, lesson);
            }
            Template::of(wording, |word| self.said.is_public(word))
        });
        let before = self.learned.get(asked.ticket, asked.message);
        let is_for_nothing = |before: Known| before.intent == NONE && before.counted.used.is_some();
        if replied.made_with.is_none() && before.is_some_and(is_for_nothing) {
            // A label says that it wants nothing known, and a verdict what became of the suggestion.
            return true;
        }
        let told = self.told_by_reply(replied, before, template.as_ref(), notices);
        let told = told.or_else(|| self.guessed(replied, template.as_ref(), &features));
        let Some(Told { intent, weight, is_said, shows }) = told else {
            return replied.corrects.is_some();
        };
        let learned = Known::weight_for(before, intent);
        let is_to_learn = weight > learned;
        // Of a message that was learned already, a prediction tells nothing.
        let predicted =
            if is_to_learn || before.is_none() { self.predict(&features) } else { Predicted::default() };
        match shows {
            _ if before.is_some() => {}
            Shows::Is(intent) => self.score(&predicted, Some(intent), asked, replied.agent),
            Shows::Other => self.score(&predicted, None, asked, replied.agent),
            Shows::Nothing => {}
        }
        if is_to_learn {
            self.learn_intent(asked, &features, &predicted, intent, learned..weight, replied.agent);
        }
        let voted = self.vote_left(before, intent);
        let mut counted = before.map(|before| before.counted).unwrap_or_default();
        match (template, replied.wording.as_ref()) {
            (Some(template), Some(wording)) => {
                counted = self.write(replied, intent, template, wording.language, counted);
            }
            _ => counted.used = counted.used.and_then(|used| self.replies.move_use(used, intent, lesson)),
        }
        self.remember(asked, Known { intent, is_said, weight: weight.max(learned), counted, voted });
        true
    }

    /// What a reply tells by its macro, by what was said or taught of its message before, or by the suggestion that it was
    /// made of.
    fn told_by_reply(
        &mut self,
        replied: &Replied,
        before: Option<Known>,
        template: Option<&Template>,
        notices: &mut Vec<Notice>,
    ) -> Option<Told> {
        if let Some(name) = &replied.made_with {
            let (intent, is_known) = self.named(name, notices)?;
            return Some(Told { intent, weight: 1.0, is_said: true, shows: Shows::of(intent, is_known) });
        }
        if let Some(known) = before.filter(|known| known.intent != NONE) {
            // It was learned when it was said.
            let (intent, is_said) = (known.intent, known.is_said);
            return Some(Told { intent, weight: 0.0, is_said, shows: Shows::Nothing });
        }
        let (intent, reply) = self.replies.find(self.made_of(replied)?)?;
        let is_same = template.is_some_and(|template| reply.template.is_same(template));
        let weight = if is_same { 1.0 } else { WEIGHT_EDITED };
        Some(Told { intent, weight, is_said: false, shows: Shows::Is(intent) })
    }

    /// What a reply tells that nobody has said anything of: the intent whose replies it is like, else the one that the
    /// model knows the message to have, else a new one.
    fn guessed(
        &mut self,
        replied: &Replied,
        template: Option<&Template>,
        features: &Features,
    ) -> Option<Told> {
        let template = template?;
        let tells = template.word_count() >= TELLING_WORDS_MIN;
        let ranking = self.champion.learner.rank(features, usize::from(u8::MAX));
        let place = |intent: IntentId| ranking.intents.iter().position(|(ranked, _)| *ranked == intent);
        let mut near: Vec<IntentId> =
            self.replies.near(template).into_iter().map(|(intent, _)| intent).collect();
        near.sort_by_key(|intent| (place(*intent).unwrap_or(usize::MAX), *intent));
        near.dedup();
        if let Some(intent) = near.first().copied().filter(|_| tells) {
            // What answers several intents does not tell which of them it was.
            let is_one_of_them = ranking.best().is_some_and(|best| near.contains(&best));
            let shows = if near.len() > 1 && is_one_of_them { Shows::Nothing } else { Shows::Is(intent) };
            return Some(Told { intent, weight: WEIGHT_LIKE, is_said: false, shows });
        }
        // Nobody has answered like this before: what would have been suggested is not what was sent.
        let shows = if tells { Shows::Other } else { Shows::Nothing };
        let best = ranking.best().filter(|best| *best != NONE && self.names.is_named(*best));
        let precision = self.mode(replied.asked.context.queue).precision();
        let sure = best.filter(|best| {
            let proved = self.champion.scores.proved(*best, precision);
            proved.is_some_and(|proved| ranking.confidence >= proved)
        });
        if let Some(intent) = sure {
            // Another way to answer what is known: nothing new about the message.
            return Some(Told { intent, weight: 0.0, is_said: false, shows });
        }
        if let Some(stalest) = self.names.stalest() {
            self.remove_intent(stalest);
        }
        let intent = self.names.found(self.position)?;
        Some(Told { intent, weight: 1.0, is_said: false, shows })
    }

    /// The suggestion that a reply was made of, where it is one of its queue: whoever sees one queue need not see others,
    /// and a reply's number is easily guessed.
    fn made_of(&self, replied: &Replied) -> Option<u64> {
        replied.made_of.filter(|reply| self.replies.is_shown(*reply, replied.asked.context.queue))
    }

    /// Puts a reply into the tree, and counts it or the suggestion that it was made of; `counted` is what was counted for its
    /// message before.
    fn write(
        &mut self,
        replied: &Replied,
        intent: IntentId,
        template: Template,
        language: crate::learn::Language,
        mut counted: Counted,
    ) -> Counted {
        let (context, lesson) = (&replied.asked.context, self.lessons);
        let made_of = self.made_of(replied);
        let is_same = |model: &Self, id: u64| {
            model.replies.find(id).is_some_and(|(_, reply)| reply.template.is_same(&template))
        };
        let accepted = made_of.filter(|made_of| is_same(self, *made_of));
        if let Some(accepted) = accepted {
            counted = self.replies.count_once(counted, accepted, How::Accepted, context, lesson);
        }
        if accepted.is_some() || counted.used.is_some_and(|used| is_same(self, used.reply)) {
            if let Some(used) = &mut counted.used {
                self.replies.comes_from(used, replied.source, lesson);
            }
            counted.used = counted.used.and_then(|used| self.replies.move_use(used, intent, lesson));
            return counted;
        }
        if let Some(made_of) = made_of {
            counted = self.replies.count_once(counted, made_of, How::Edited, context, lesson);
        }
        let words = template.word_count();
        let id = self.replies.place(intent, template, language, lesson);
        // What was edited, and is still the same but for small changes, was used once.
        counted = self.replies.count_once(counted, id, How::Written, context, lesson);
        if let Some(used) = &mut counted.used {
            self.replies.comes_from(used, replied.source, lesson);
        }
        // Two intents that nobody has named are one where their replies are.
        let tells = words >= TELLING_WORDS_MIN && !self.names.is_named(intent);
        let twins = if tells { self.replies.twins(id) } else { Vec::new() };
        for twin in twins.into_iter().filter(|twin| *twin != intent) {
            if !self.names.is_named(twin) {
                self.merge_intents(twin, intent);
            }
        }
        counted
    }

    pub(super) fn judge(&mut self, judged: &Judged) -> bool {
        let Some((intent, _)) = self.replies.find(judged.reply) else { return false };
        let (asked, lesson) = (&judged.asked, self.lessons);
        // What was said in other queues is no suggestion in this one.
        if !self.replies.is_shown(judged.reply, asked.context.queue) {
            return false;
        }
        let (how, weight) = match judged.verdict {
            Verdict::Accepted => (How::Accepted, 1.0),
            Verdict::Edited => (How::Edited, WEIGHT_EDITED),
            Verdict::Rejected => {
                self.replies.reject(judged.reply, &asked.context, lesson);
                return true;
            }
        };
        let before = self.learned.get(asked.ticket, asked.message);
        let mut counted = before.map(|before| before.counted).unwrap_or_default();
        // The same text may have gone to the intent that the message was said to be of.
        if !counted.used.is_some_and(|used| self.replies.is_same(used.reply, judged.reply)) {
            counted = self.replies.count_once(counted, judged.reply, how, &asked.context, lesson);
        }
        if let Some(said) = before.filter(|before| before.is_said) {
            if how == How::Accepted && said.intent != NONE {
                counted.used = counted.used.and_then(|used| self.replies.move_use(used, said.intent, lesson));
            }
            self.remember(asked, Known { counted, ..said });
            return true;
        }
        let features = Self::features(&asked.text);
        let predicted = self.predict(&features);
        // Of a message that was learned already, a prediction tells nothing.
        if before.is_none() {
            self.score(&predicted, Some(intent), asked, judged.agent);
        }
        let learned = Known::weight_for(before, intent);
        if weight > learned {
            self.learn_intent(asked, &features, &predicted, intent, learned..weight, judged.agent);
        }
        let voted = self.vote_left(before, intent);
        self.remember(asked, Known { intent, is_said: false, weight: weight.max(learned), counted, voted });
        true
    }

    pub(super) fn label(&mut self, labelled: &Labelled, notices: &mut Vec<Notice>) -> bool {
        let name = match &labelled.label {
            Label::None => None,
            Label::Named(name) => Some(name.as_str()),
            Label::Tags(tags) => {
                let prefix = self.settings.tag_prefix.as_str();
                let named =
                    tags.iter().find_map(|tag| tag.strip_prefix(prefix).filter(|name| tidy(name).is_some()));
                let Some(name) = named.map(str::to_owned) else { return false };
                return self.label_as(labelled, Some(&name), notices);
            }
        };
        self.label_as(labelled, name, notices)
    }

    fn label_as(&mut self, labelled: &Labelled, name: Option<&str>, notices: &mut Vec<Notice>) -> bool {
        let (intent, is_known) = match name.map(|name| self.named(name, notices)) {
            None => (NONE, true),
            Some(Some(named)) => named,
            Some(None) => return false,
        };
        let asked = &labelled.asked;
        let before = self.learned.get(asked.ticket, asked.message);
        if before.is_some_and(|before| before.is_said && before.intent == intent) {
            return false;
        }
        let features = Self::features(&asked.text);
        let predicted = self.predict(&features);
        // Of a message that was learned already, a prediction tells nothing.
        if before.is_none() {
            self.score(&predicted, is_known.then_some(intent), asked, labelled.agent);
        }
        let learned = Known::weight_for(before, intent);
        if learned < 1.0 {
            self.learn_intent(asked, &features, &predicted, intent, learned..1.0, labelled.agent);
        }
        if before.is_some_and(|before| before.intent != intent) {
            self.set_right(&features, intent, labelled);
        }
        let (counted, voted) =
            before.map(|before| self.take_over(before, intent, labelled, notices)).unwrap_or_default();
        self.remember(asked, Known { intent, is_said: true, weight: 1.0, counted, voted });
        true
    }

    /// The intent without a name that a message's vote stays in: a vote for another intent than this one is taken back.
    fn vote_left(&mut self, before: Option<Known>, intent: IntentId) -> Option<IntentId> {
        let before = before?;
        if before.intent == intent {
            return before.voted;
        }
        self.names.take_back_vote(before.voted?, before.intent);
        None
    }

    /// The newest label of a message counts: it is learned until it comes first, as far as its teacher is trusted.
    fn set_right(&mut self, features: &Features, intent: IntentId, labelled: &Labelled) {
        let weight = self.teachers.weight(labelled.agent, intent);
        for contender in [Some(&mut self.champion), self.challenger.as_mut()].into_iter().flatten() {
            for _ in 1..RELABEL_TIMES_MAX {
                if contender.learner.rank(features, 1).best() == Some(intent) {
                    break;
                }
                contender.learner.learn(features, intent, weight);
            }
        }
    }

    /// The reply of a message goes where the message is said to belong, and takes along what it has founded. A label that it
    /// wants nothing known leaves the reply where it is. Tells what is counted for the message, and where it has voted.
    fn take_over(
        &mut self,
        before: Known,
        intent: IntentId,
        labelled: &Labelled,
        notices: &mut Vec<Notice>,
    ) -> (Counted, Option<IntentId>) {
        let mut counted = before.counted;
        let mut voted = self.vote_left(Some(before), intent);
        if before.intent == intent || intent == NONE {
            return (counted, voted);
        }
        // Whatever the message was said to be of first, it was of one without a name.
        let of = if self.names.is_named(before.intent) { before.voted } else { Some(before.intent) };
        if let Some(unnamed) = of.filter(|of| ![NONE, intent].contains(of) && !self.names.is_named(*of)) {
            voted = Some(unnamed);
            let (votes, lessons) = self.names.vote(unnamed, intent);
            // It counts this message only as long as that is of it.
            let lessons = lessons.saturating_add(u32::from(before.intent != unnamed));
            // A reply that fits everything has founded an intent of all sorts: it is folded only where most of it is this.
            if lessons <= 2 || votes * 2 > lessons {
                let (from, into) = (self.names.name(unnamed), self.names.name(intent));
                self.merge_intents(unnamed, intent);
                notices.push(Notice::Merged { from, into });
                let known = self.learned.get(labelled.asked.ticket, labelled.asked.message);
                (counted, voted) = (known.map(|known| known.counted).unwrap_or_default(), None);
            }
        }
        counted.used = counted.used.and_then(|used| self.replies.move_use(used, intent, self.lessons));
        (counted, voted)
    }

    pub(super) fn outcome(&mut self, outcome: &Outcome) -> bool {
        let context = &outcome.asked.context;
        if !self.replies.is_shown(outcome.reply, context.queue) {
            return false;
        }
        if outcome.was_good {
            self.replies.credit(outcome.reply, context, HALF_GOOD_OUTCOME);
        } else {
            self.replies.reject(outcome.reply, context, self.lessons);
        }
        true
    }

    pub(super) fn send(&mut self, sent: Sent) {
        let times = self.sent.entry(sent.queue).or_default();
        times.push_back(sent.at);
        while times.len() > AUTOMATIC_PER_HOUR_MAX as usize
            || times.front().is_some_and(|first| first.0.saturating_add(HOUR_MS) <= sent.at.0)
        {
            times.pop_front();
        }
    }

    /// The intent of this name, made where there is none; and whether it was there before.
    pub(super) fn named(&mut self, name: &str, notices: &mut Vec<Notice>) -> Option<(IntentId, bool)> {
        if let Some(intent) = self.names.find(name) {
            return Some((intent, true));
        }
        match self.names.create(name) {
            Some(intent) => {
                notices.push(Notice::NewIntent { intent: self.names.name(intent) });
                Some((intent, false))
            }
            None => {
                let why = "there is no name, or there are too many intents: merge or remove some".to_owned();
                notices.push(Notice::Ignored { why });
                None
            }
        }
    }
}
