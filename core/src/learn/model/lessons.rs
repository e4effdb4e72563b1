//! What single dialogues teach.

use super::learned::Known;
use super::names::{NONE, tidy};
use super::replies::Worth;
use super::template::Template;
use super::{Model, Notice};
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
const GOOD: Worth = Worth { good: 1.0, bad: 0.0 };
const HALF_GOOD: Worth = Worth { good: 0.5, bad: 0.5 };
const BAD: Worth = Worth { good: 0.0, bad: 1.0 };
const HOUR_MS: u64 = 3_600_000;

/// What an agent's reply says about the message's intent.
struct Told {
    intent: IntentId,
    weight: f32,
    is_said: bool,
    /// Whether that intent was there before.
    is_known: bool,
}

impl Model {
    pub(super) fn reply(&mut self, replied: &Replied, notices: &mut Vec<Notice>) -> bool {
        let asked = &replied.asked;
        let features = Self::features(&asked.text);
        let lesson = self.lessons;
        if let Some(wrong) = replied.corrects {
            self.replies.update(wrong, lesson, |reply| reply.rejected = reply.rejected.saturating_add(1));
            self.replies.credit(wrong, &asked.context, BAD);
        }
        let template = replied.wording.as_ref().map(|wording| {
            for word in &wording.said {
                self.said.say(*word, replied.requester, lesson);
            }
            Template::of(wording, |word| self.said.is_public(word))
        });
        if self.was_judged(replied, template.as_ref()) {
            return true;
        }
        let told = self.told_by_reply(replied, template.as_ref(), notices);
        let told = told.or_else(|| self.guessed(replied, template.as_ref(), &features));
        let Some(Told { intent, weight, is_said, is_known }) = told else {
            return replied.corrects.is_some();
        };
        if weight > 0.0 {
            let predicted = self.predict(&features);
            // Of a message that was learned already, a prediction tells nothing.
            let is_new = self.learned.get(asked.ticket, asked.message).is_none();
            if is_new && (is_known || is_said) {
                self.score(&predicted, is_known.then_some(intent), replied.agent);
            }
            self.learn_intent(asked, &features, &predicted, intent, weight, replied.agent);
        }
        let mut written = None;
        if let (Some(template), Some(wording)) = (template, replied.wording.as_ref()) {
            written = self.write(replied, intent, template, wording.language);
        }
        self.learned.set(asked.ticket, asked.message, Known { intent, is_said, reply: written });
        true
    }

    /// Whether a reply is the one that a verdict has told of already: then only where it stands is new.
    fn was_judged(&mut self, replied: &Replied, template: Option<&Template>) -> bool {
        let known =
            self.learned.get(replied.asked.ticket, replied.asked.message).and_then(|known| known.reply);
        let found = known.and_then(|known| self.replies.find(known)).zip(template);
        let Some(((_, reply), _)) = found.filter(|((_, reply), template)| reply.template.is_same(template))
        else {
            return false;
        };
        let id = reply.id;
        self.replies.update(id, self.lessons, |reply| reply.comes_from(replied.source));
        true
    }

    /// What a reply tells by its macro, by the suggestion that it was made of, or by what its message was said to want.
    fn told_by_reply(
        &mut self,
        replied: &Replied,
        template: Option<&Template>,
        notices: &mut Vec<Notice>,
    ) -> Option<Told> {
        if let Some(name) = &replied.made_with {
            let (intent, is_known) = self.named(name, notices)?;
            return Some(Told { intent, weight: 1.0, is_said: true, is_known });
        }
        let known = self.learned.get(replied.asked.ticket, replied.asked.message);
        if let Some(known) = known.filter(|known| known.is_said && known.intent != NONE) {
            // It was learned when it was said.
            return Some(Told { intent: known.intent, weight: 0.0, is_said: true, is_known: true });
        }
        let (intent, reply) = self.replies.find(replied.made_of?)?;
        let is_same = template.is_some_and(|template| reply.template.is_same(template));
        let weight = if is_same { 1.0 } else { WEIGHT_EDITED };
        Some(Told { intent, weight, is_said: false, is_known: true })
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
        let ranking = self.champion.learner.rank(features, usize::from(u8::MAX));
        let place = |intent: IntentId| ranking.intents.iter().position(|(ranked, _)| *ranked == intent);
        let mut near: Vec<IntentId> =
            self.replies.near(template).into_iter().map(|(intent, _)| intent).collect();
        near.sort_by_key(|intent| (place(*intent).unwrap_or(usize::MAX), *intent));
        if let Some(intent) = near.first().filter(|_| template.word_count() >= TELLING_WORDS_MIN) {
            return Some(Told { intent: *intent, weight: WEIGHT_LIKE, is_said: false, is_known: true });
        }
        let best = ranking.best().filter(|best| *best != NONE && self.names.is_named(*best));
        let precision = self.mode(replied.asked.context.queue).precision();
        let sure = best.filter(|best| {
            let scores = &self.champion.scores;
            scores.is_proved() && ranking.confidence >= scores.threshold(*best, precision)
        });
        if let Some(intent) = sure {
            // Another way to answer what is known: nothing new about the message.
            return Some(Told { intent, weight: 0.0, is_said: false, is_known: true });
        }
        if let Some(stalest) = self.names.stalest() {
            self.remove_intent(stalest);
        }
        let intent = self.names.found(self.position)?;
        Some(Told { intent, weight: 1.0, is_said: false, is_known: false })
    }

    /// Puts a reply into the tree, and counts the suggestion that it was made of.
    fn write(
        &mut self,
        replied: &Replied,
        intent: IntentId,
        template: Template,
        language: crate::learn::Language,
    ) -> Option<u64> {
        let (context, lesson) = (&replied.asked.context, self.lessons);
        if let Some(made_of) = replied.made_of
            && let Some((_, reply)) = self.replies.find(made_of)
        {
            if reply.template.is_same(&template) {
                self.replies.update(made_of, lesson, |reply| {
                    reply.accepted = reply.accepted.saturating_add(1);
                    reply.comes_from(replied.source);
                });
                self.replies.credit(made_of, context, GOOD);
                return Some(made_of);
            }
            self.replies.update(made_of, lesson, |reply| reply.edited = reply.edited.saturating_add(1));
            self.replies.credit(made_of, context, HALF_GOOD);
        }
        let words = template.word_count();
        let id = self.replies.write(intent, template, language, replied.source, context, lesson);
        // Two intents that nobody has named are one where their replies are.
        let tells = words >= TELLING_WORDS_MIN && !self.names.is_named(intent);
        let twins = if tells { self.replies.twins(id) } else { Vec::new() };
        for twin in twins.into_iter().filter(|twin| *twin != intent) {
            if !self.names.is_named(twin) {
                self.merge_intents(twin, intent);
            }
        }
        Some(id)
    }

    pub(super) fn judge(&mut self, judged: &Judged) -> bool {
        let Some((intent, _)) = self.replies.find(judged.reply) else { return false };
        let (asked, lesson) = (&judged.asked, self.lessons);
        let (worth, weight) = match judged.verdict {
            Verdict::Accepted => (GOOD, 1.0),
            Verdict::Edited => (HALF_GOOD, WEIGHT_EDITED),
            Verdict::Rejected => (BAD, 0.0),
        };
        self.replies.update(judged.reply, lesson, |reply| {
            let count = match judged.verdict {
                Verdict::Accepted => &mut reply.accepted,
                Verdict::Edited => &mut reply.edited,
                Verdict::Rejected => &mut reply.rejected,
            };
            *count = count.saturating_add(1);
        });
        self.replies.credit(judged.reply, &asked.context, worth);
        let known = self.learned.get(asked.ticket, asked.message);
        if weight > 0.0 && !known.is_some_and(|known| known.is_said) {
            let features = Self::features(&asked.text);
            let predicted = self.predict(&features);
            // Of a message that was learned already, a prediction tells nothing.
            if known.is_none() {
                self.score(&predicted, Some(intent), judged.agent);
            }
            self.learn_intent(asked, &features, &predicted, intent, weight, judged.agent);
            let known = Known { intent, is_said: false, reply: Some(judged.reply) };
            self.learned.set(asked.ticket, asked.message, known);
        }
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
            self.score(&predicted, is_known.then_some(intent), labelled.agent);
        }
        self.learn_intent(asked, &features, &predicted, intent, 1.0, labelled.agent);
        if before.is_some_and(|before| before.intent != intent) {
            self.set_right(&features, intent, labelled);
        }
        let reply = before.and_then(|before| self.take_over(before, intent, labelled, notices));
        let reply = reply.or(before.and_then(|before| before.reply));
        self.learned.set(asked.ticket, asked.message, Known { intent, is_said: true, reply });
        true
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

    /// What a message's reply has founded goes over to the intent that the message was said to have.
    fn take_over(
        &mut self,
        before: Known,
        intent: IntentId,
        labelled: &Labelled,
        notices: &mut Vec<Notice>,
    ) -> Option<u64> {
        if before.intent == intent || intent == NONE || before.intent == NONE {
            return None;
        }
        if self.names.is_named(before.intent) {
            return self.replies.copy(before.reply?, intent, &labelled.asked.context, self.lessons);
        }
        let (votes, lessons) = {
            let entry = self.names.entries.get_mut(&before.intent)?;
            let votes = entry.votes.entry(intent).or_default();
            *votes = votes.saturating_add(1);
            (*votes, entry.lessons)
        };
        // A reply that fits everything has founded an intent of all sorts: it is folded only where most of it is this.
        if lessons <= 2 || votes * 2 > lessons {
            let (from, into) = (self.names.name(before.intent), self.names.name(intent));
            self.merge_intents(before.intent, intent);
            notices.push(Notice::Merged { from, into });
            return before.reply;
        }
        self.replies.copy(before.reply?, intent, &labelled.asked.context, self.lessons)
    }

    pub(super) fn outcome(&mut self, outcome: &Outcome) -> bool {
        if self.replies.find(outcome.reply).is_none() {
            return false;
        }
        let worth = if outcome.was_good { Worth { good: 0.5, bad: 0.0 } } else { BAD };
        if !outcome.was_good {
            let reject =
                |reply: &mut super::replies::Reply| reply.rejected = reply.rejected.saturating_add(1);
            self.replies.update(outcome.reply, self.lessons, reject);
        }
        self.replies.credit(outcome.reply, &outcome.asked.context, worth);
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
