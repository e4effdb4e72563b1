//! The response tree: under each intent its replies, and how each did in the contexts that it was used in.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::template::{Sketch, Template};
use super::uses::Moved;
use crate::id::{Offset, QueueId};
use crate::learn::dialogue::hash_text;
use crate::learn::intent::IntentId;
use crate::learn::language::Language;
use crate::learn::lesson::Context;
use crate::learn::suggestion::Source;
use crate::limits::{
    COMPARED_REPLIES_MAX, INTENT_REPLIES_MAX, LEARNED_REPLIES_MAX, REPLY_CONTEXTS_MAX, REPLY_SOURCES_MAX,
};

/// Lessons of an intent after which a use counts half.
const HALF_LIFE_LESSONS: f32 = 64.0;
/// Uses that the context above weighs as much as, in the one below.
const PARENT_WEIGHT: f32 = 2.0;
/// What one that was turned down weighs against one that was sent: it took an agent's time, and wrote nothing.
const BAD_WEIGHT: f32 = 2.0;
/// Of a sketch's eight hashes, those that two replies share at least where they are compared.
const SKETCH_SHARED_MIN: usize = 2;

/// What a use of a reply was worth.
#[derive(Debug, Clone, Copy)]
pub(super) struct Worth {
    pub(super) good: f32,
    pub(super) bad: f32,
}

/// Uses in one context, as they count at lesson `at` of the intent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Tally {
    context: u64,
    good: f32,
    bad: f32,
    at: u32,
}

/// A reply.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Reply {
    pub(super) id: u64,
    pub(super) template: Template,
    sketch: Sketch,
    pub(super) language: Language,
    pub(super) accepted: u32,
    pub(super) edited: u32,
    pub(super) rejected: u32,
    pub(super) written: u32,
    pub(super) from: Vec<Source>,
    /// The one of all contexts first.
    tallies: Vec<Tally>,
    used: u64,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Branch {
    /// Uses of its replies.
    lessons: u32,
    replies: Vec<Reply>,
}

/// All replies of a tenant.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Replies {
    newest: u64,
    branches: BTreeMap<IntentId, Branch>,
}

/// Replies that one event may bring: its offset and a number below this are a reply's number, the same in each fold.
const PER_EVENT: u64 = 4;

/// A queue's context in a language, as a number.
fn queue_context(language: Language, queue: QueueId) -> u64 {
    hash_text(hash_text(1, language.code()), &queue.to_string())
}

/// A context and those above it: all, language, queue, turn, tags; each as one number.
pub(super) type Path = [u64; 5];

/// The path of a context.
pub(super) fn path(context: &Context) -> Path {
    let language = hash_text(1, context.language.code());
    let queue = queue_context(context.language, context.queue);
    let turn = hash_text(queue, if context.turn <= 1 { "first" } else { "later" });
    let tags = context.tags.iter().fold(turn, |hash, tag| hash_text(hash, tag));
    [0, language, queue, turn, if context.tags.is_empty() { turn ^ 1 } else { tags }]
}

fn decay(lessons: u32) -> f32 {
    libm::exp2f(-(lessons as f32) / HALF_LIFE_LESSONS)
}

impl Branch {
    fn has(&self, id: u64) -> bool {
        self.replies.iter().any(|reply| reply.id == id)
    }
}

impl Reply {
    /// Whether it was used in this queue, in any language. That it was turned down there is no use.
    fn is_of(&self, queue: QueueId) -> bool {
        let here = Language::ALL.map(|language| queue_context(language, queue));
        self.tallies.iter().any(|tally| tally.good > 0.0 && here.contains(&tally.context))
    }

    fn tally(&self, context: u64, now: u32) -> (f32, f32) {
        let found = self.tallies.iter().find(|tally| tally.context == context);
        found.map_or((0.0, 0.0), |tally| {
            let factor = decay(now.saturating_sub(tally.at));
            (tally.good * factor, tally.bad * factor)
        })
    }

    fn credit(&mut self, path: &[u64], worth: Worth, now: u32) {
        for context in path {
            let (good, bad) = self.tally(*context, now);
            let tally = Tally { context: *context, good: good + worth.good, bad: bad + worth.bad, at: now };
            match self.tallies.iter_mut().find(|tally| tally.context == *context) {
                Some(known) => *known = tally,
                None => {
                    if self.tallies.len() >= REPLY_CONTEXTS_MAX {
                        // The stalest one, but never that of all contexts.
                        let stalest = (1..self.tallies.len())
                            .min_by_key(|place| self.tallies.get(*place).map(|tally| tally.at));
                        stalest.map(|place| self.tallies.remove(place));
                    }
                    self.tallies.push(tally);
                }
            }
        }
    }

    pub(super) fn comes_from(&mut self, source: Source) {
        self.from.insert(0, source);
        self.from.truncate(REPLY_SOURCES_MAX);
    }

    /// Messages that it was sent for.
    fn uses(&self) -> u32 {
        self.accepted.saturating_add(self.edited).saturating_add(self.written)
    }

    /// Whether agents sent it often enough, and seldom turned it down, for it to be sent without one.
    pub(super) fn is_proved(&self, uses: u32) -> bool {
        let sent = self.accepted.saturating_add(self.written);
        sent >= uses && self.accepted >= 1 && self.rejected.saturating_mul(10) <= sent
    }
}

impl Replies {
    /// Replies that are new from now on come with the event at this offset.
    pub(super) fn come_with(&mut self, offset: Offset) {
        self.newest = offset.0.saturating_mul(PER_EVENT).saturating_sub(1);
    }

    pub(super) fn len(&self) -> usize {
        self.branches.values().map(|branch| branch.replies.len()).sum()
    }

    pub(super) fn count(&self, intent: IntentId) -> usize {
        self.branches.get(&intent).map_or(0, |branch| branch.replies.len())
    }

    pub(super) fn find(&self, id: u64) -> Option<(IntentId, &Reply)> {
        self.branches
            .iter()
            .find_map(|(intent, branch)| Some((*intent, branch.replies.iter().find(|reply| reply.id == id)?)))
    }

    /// Replies of all intents that are this one with small changes.
    pub(super) fn near(&self, template: &Template) -> Vec<(IntentId, u64)> {
        let sketch = template.sketch();
        let mut like: Vec<(usize, IntentId, &Reply)> = Vec::new();
        for (intent, branch) in &self.branches {
            let shared = branch.replies.iter().map(|reply| (shared(&reply.sketch, &sketch), *intent, reply));
            like.extend(shared.filter(|(shared, ..)| *shared >= SKETCH_SHARED_MIN));
        }
        like.sort_by(|a, b| b.0.cmp(&a.0).then(b.2.used.cmp(&a.2.used)).then(a.2.id.cmp(&b.2.id)));
        like.truncate(COMPARED_REPLIES_MAX);
        let near = like.into_iter().filter(|(.., reply)| reply.template.is_near(template));
        near.map(|(_, intent, reply)| (intent, reply.id)).collect()
    }

    /// The reply of this intent that this one nearly is, or a new one; tells its number.
    pub(super) fn place(
        &mut self,
        intent: IntentId,
        template: Template,
        language: Language,
        lesson: u64,
    ) -> u64 {
        let sketch = template.sketch();
        let branch = self.branches.entry(intent).or_default();
        let mut same = branch.replies.iter_mut().filter(|reply| is_like(&reply.sketch, &sketch));
        if let Some(reply) = same.find(|reply| reply.template.is_near(&template)) {
            reply.template = reply.template.fold(&template);
            reply.sketch = reply.template.sketch();
            return reply.id;
        }
        self.newest += 1;
        let (id, tallies) =
            (self.newest, vec![Tally { context: 0, good: 0.0, bad: 0.0, at: branch.lessons }]);
        let (accepted, edited, rejected, written, from) = (0, 0, 0, 0, Vec::new());
        let used = lesson;
        branch.replies.push(Reply {
            id,
            template,
            sketch,
            language,
            accepted,
            edited,
            rejected,
            written,
            from,
            tallies,
            used,
        });
        self.forget(intent);
        id
    }

    /// Forgets the least used reply of an intent that has too many, and of all where they are too many: the one whose
    /// uses count least by now, of equals the one that was used longest ago.
    fn forget(&mut self, intent: IntentId) {
        let newest = self.newest;
        if let Some(branch) =
            self.branches.get_mut(&intent).filter(|branch| branch.replies.len() > INTENT_REPLIES_MAX)
        {
            let now = branch.lessons;
            let worth = |reply: &Reply| {
                let (good, bad) = reply.tally(0, now);
                good - bad
            };
            let others = branch.replies.iter().filter(|reply| reply.id != newest);
            let least = others
                .min_by(|a, b| worth(a).total_cmp(&worth(b)).then(a.used.cmp(&b.used)).then(a.id.cmp(&b.id)));
            let least = least.map(|reply| reply.id);
            branch.replies.retain(|reply| Some(reply.id) != least);
        }
        if self.len() > LEARNED_REPLIES_MAX {
            let all =
                self.branches.values().flat_map(|branch| &branch.replies).filter(|reply| reply.id != newest);
            let oldest = all.min_by_key(|reply| (reply.used, reply.id)).map(|reply| reply.id);
            for branch in self.branches.values_mut() {
                branch.replies.retain(|reply| Some(reply.id) != oldest);
            }
            self.branches.retain(|_, branch| !branch.replies.is_empty());
        }
    }

    pub(super) fn update(&mut self, id: u64, lesson: u64, change: impl FnOnce(&mut Reply)) {
        let mut all = self.branches.values_mut().flat_map(|branch| &mut branch.replies);
        if let Some(reply) = all.find(|reply| reply.id == id) {
            reply.used = lesson;
            change(reply);
        }
    }

    /// Whether two replies, of one intent or of two, have one text.
    pub(super) fn is_same(&self, one: u64, other: u64) -> bool {
        let [one, other] = [one, other].map(|id| self.find(id).map(|(_, reply)| &reply.template));
        one.zip(other).is_some_and(|(one, other)| one.is_same(other))
    }

    /// Whether a reply is suggested in this queue.
    pub(super) fn is_shown(&self, id: u64, queue: QueueId) -> bool {
        self.find(id).is_some_and(|(_, reply)| reply.is_of(queue))
    }

    /// Counts a use of a reply; tells how many its intent has had.
    pub(super) fn credit(&mut self, id: u64, context: &Context, worth: Worth) -> Option<u32> {
        self.credit_path(id, &path(context), worth)
    }

    /// The same, in these contexts.
    pub(super) fn credit_path(&mut self, id: u64, path: &Path, worth: Worth) -> Option<u32> {
        let branch = self.branches.values_mut().find(|branch| branch.has(id))?;
        branch.lessons = branch.lessons.saturating_add(1);
        let now = branch.lessons;
        let reply = branch.replies.iter_mut().find(|reply| reply.id == id)?;
        reply.credit(path, worth, now);
        Some(now)
    }

    /// Takes back what was counted in these contexts when its intent had had `at` uses, as far as that counts by now.
    pub(super) fn take_back(&mut self, id: u64, path: &Path, worth: Worth, at: u32) {
        let Some(branch) = self.branches.values_mut().find(|branch| branch.has(id)) else { return };
        let now = branch.lessons;
        let factor = decay(now.saturating_sub(at));
        let Some(reply) = branch.replies.iter_mut().find(|reply| reply.id == id) else { return };
        // What rounding leaves of the last use is none.
        let less = |all: f32, part: f32| if part >= all * 0.9999 { 0.0 } else { all - part };
        for context in path {
            let (good, bad) = reply.tally(*context, now);
            if let Some(tally) = reply.tallies.iter_mut().find(|tally| tally.context == *context) {
                tally.good = less(good, worth.good * factor);
                tally.bad = less(bad, worth.bad * factor);
                tally.at = now;
            }
        }
    }

    /// Drops a reply of this intent that has no use left.
    pub(super) fn drop_unused(&mut self, intent: IntentId, id: u64) {
        if let Some(branch) = self.branches.get_mut(&intent) {
            branch.replies.retain(|reply| reply.id != id || reply.uses() > 0);
        }
        self.branches.retain(|_, branch| !branch.replies.is_empty());
    }

    /// The replies of an intent that were used in the context's queue, the best in this context first: whoever sees a queue
    /// need not see others. A reply in the message's language goes before all others.
    ///
    /// From all contexts down to this one, a reply's share of uses is `(uses + w * share above) / (all uses + w)`: a Beta
    /// prior with the share above as its mean and [`PARENT_WEIGHT`] as its weight. That share counts as far as the reply
    /// was not turned down.
    pub(super) fn ranked(&self, intent: IntentId, context: &Context) -> Vec<&Reply> {
        let Some(branch) = self.branches.get(&intent) else { return Vec::new() };
        let now = branch.lessons;
        let mut scores: Vec<(bool, f32, &Reply)> = Vec::with_capacity(branch.replies.len());
        let path = path(context);
        let totals =
            path.map(|context| branch.replies.iter().map(|reply| reply.tally(context, now).0).sum::<f32>());
        for reply in branch.replies.iter().filter(|reply| reply.is_of(context.queue)) {
            let mut share = 1.0 / (branch.replies.len() as f32);
            for (context, total) in path.iter().zip(&totals) {
                share = (reply.tally(*context, now).0 + PARENT_WEIGHT * share) / (total + PARENT_WEIGHT);
            }
            let (good, bad) = reply.tally(0, now);
            let quality = (good + 1.0) / (good + BAD_WEIGHT * bad + 1.0);
            let speaks_it = [reply.language, context.language].contains(&Language::Unknown)
                || reply.language == context.language;
            scores.push((speaks_it, share * quality, reply));
        }
        scores.sort_by(|a, b| {
            b.0.cmp(&a.0).then(b.1.total_cmp(&a.1)).then(b.2.used.cmp(&a.2.used)).then(a.2.id.cmp(&b.2.id))
        });
        let speaks_any = scores.first().is_some_and(|(speaks_it, ..)| *speaks_it);
        scores
            .into_iter()
            .filter(|(speaks_it, ..)| *speaks_it || !speaks_any)
            .map(|(.., reply)| reply)
            .collect()
    }

    /// Replies of `from` are of `into` from now on; those that are nearly the same become one: tells which became which.
    pub(super) fn merge(&mut self, from: IntentId, into: IntentId) -> Moved {
        if from == into {
            return Moved::default();
        }
        let Some(gone) = self.branches.remove(&from) else { return Moved::default() };
        let branch = self.branches.entry(into).or_default();
        let mut moved = Moved { from: gone.lessons, into: branch.lessons, ..Moved::default() };
        for mut reply in gone.replies {
            // The lessons of one intent are no time of the other.
            for tally in &mut reply.tallies {
                let factor = decay(gone.lessons.saturating_sub(tally.at));
                (tally.good, tally.bad, tally.at) = (tally.good * factor, tally.bad * factor, branch.lessons);
            }
            let same = branch.replies.iter_mut().find(|known| {
                is_like(&known.sketch, &reply.sketch) && known.template.is_near(&reply.template)
            });
            let Some(known) = same else {
                moved.became.insert(reply.id, reply.id);
                branch.replies.push(reply);
                continue;
            };
            moved.became.insert(reply.id, known.id);
            known.accepted = known.accepted.saturating_add(reply.accepted);
            known.edited = known.edited.saturating_add(reply.edited);
            known.rejected = known.rejected.saturating_add(reply.rejected);
            known.written = known.written.saturating_add(reply.written);
            known.used = known.used.max(reply.used);
            known.from.extend(reply.from);
            known.from.sort_unstable_by(|a, b| b.cmp(a));
            known.from.truncate(REPLY_SOURCES_MAX);
            for tally in reply.tallies {
                known.credit(&[tally.context], Worth { good: tally.good, bad: tally.bad }, tally.at);
            }
        }
        while self.count(into) > INTENT_REPLIES_MAX {
            self.forget(into);
        }
        moved
    }

    pub(super) fn remove(&mut self, intent: IntentId) {
        self.branches.remove(&intent);
    }

    /// Intents other than this one that have a reply which is nearly this one of it.
    pub(super) fn twins(&self, id: u64) -> Vec<IntentId> {
        let Some((intent, reply)) = self.find(id) else { return Vec::new() };
        let near = self.near(&reply.template).into_iter().map(|(near, _)| near);
        let mut twins: Vec<IntentId> = near.filter(|near| *near != intent).collect();
        twins.sort_unstable();
        twins.dedup();
        twins
    }

    /// A reply that an agent wrote.
    #[cfg(test)]
    fn write(
        &mut self,
        intent: IntentId,
        template: Template,
        language: Language,
        source: Source,
        context: &Context,
        lesson: u64,
    ) -> u64 {
        let id = self.place(intent, template, language, lesson);
        self.update(id, lesson, |reply| reply.comes_from(source));
        let before = super::uses::Counted::default();
        self.count_once(before, id, super::uses::How::Written, context, lesson);
        id
    }

    /// All replies: for tests of what they must not have.
    #[cfg(test)]
    pub(super) fn all(&self) -> impl Iterator<Item = &Reply> {
        self.branches.values().flat_map(|branch| &branch.replies)
    }
}

fn shared(one: &Sketch, other: &Sketch) -> usize {
    one.iter().zip(other).filter(|(a, b)| a == b).count()
}

fn is_like(one: &Sketch, other: &Sketch) -> bool {
    shared(one, other) >= SKETCH_SHARED_MIN
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{QueueId, TicketId, Version};
    use crate::learn::dialogue::{Person, wording_of};

    fn template(reply: &str) -> Template {
        Template::of(&wording_of(reply, &Person::of("", None)), |_| false)
    }

    fn context(queue: u32, tags: &[&str]) -> Context {
        let tags = tags.iter().map(|tag| (*tag).to_owned()).collect();
        Context { language: Language::English, queue: QueueId(queue), turn: 1, tags }
    }

    const SOURCE: Source = Source { ticket: TicketId(1), version: Version(2) };
    const INTENT: IntentId = IntentId(1);

    #[test]
    fn a_reply_wins_where_it_is_used_and_falls_when_it_is_turned_down() {
        let mut replies = Replies::default();
        let english = Language::English;
        let mut lesson = 0;
        let mut write = |replies: &mut Replies, text: &str, context: &Context| {
            lesson += 1;
            replies.write(INTENT, template(text), english, SOURCE, context, lesson)
        };
        let shop = write(&mut replies, "please bring the parcel back to our shop", &context(1, &[]));
        let mail = write(&mut replies, "we send you a label to return it by mail", &context(2, &[]));
        (0..3).for_each(|_| {
            assert_eq!(
                write(&mut replies, "please bring the parcel back to our shop!", &context(1, &[])),
                shop
            )
        });
        let best = |replies: &Replies, context: &Context| {
            replies.ranked(INTENT, context).first().map(|reply| reply.id)
        };
        assert_eq!(best(&replies, &context(1, &["vip"])), Some(shop), "a new context asks the one above");
        assert_eq!(best(&replies, &context(2, &[])), Some(mail));
        assert_eq!(best(&replies, &context(3, &[])), None, "what was said in other queues stays there");
        replies.credit(mail, &context(1, &[]), Worth { good: 1.0, bad: 0.0 });
        assert_eq!(best(&replies, &context(1, &[])), Some(shop));
        for _ in 0..8 {
            replies.credit(shop, &context(1, &[]), Worth { good: 0.0, bad: 1.0 });
        }
        assert_eq!(best(&replies, &context(1, &[])), Some(mail), "it was turned down");
        let warten = template("bitte warten Sie auf den Fahrer");
        let german = replies.write(INTENT, warten, Language::German, SOURCE, &context(1, &[]), 9);
        let english_only = replies.ranked(INTENT, &context(1, &[]));
        assert_eq!((english_only.len(), german), (2, 3));
    }

    #[test]
    fn replies_are_bounded_and_the_least_used_goes_first() {
        let mut replies = Replies::default();
        let text = |number: u32| {
            let letters: String =
                number.to_string().chars().map(|c| char::from(b'a' + c as u8 - b'0')).collect();
            format!("take the {letters} road to the {letters}x house by the {letters}y lake")
        };
        let loved =
            replies.write(INTENT, template("come on in"), Language::English, SOURCE, &context(1, &[]), 0);
        replies.credit(loved, &context(1, &[]), Worth { good: 50.0, bad: 0.0 });
        for number in 0..100 {
            replies.write(
                INTENT,
                template(&text(number)),
                Language::English,
                SOURCE,
                &context(1, &[]),
                number.into(),
            );
        }
        assert_eq!((replies.count(INTENT), replies.find(loved).is_some()), (INTENT_REPLIES_MAX, true));
        for number in 0..6_000_u32 {
            let intent = IntentId(2 + number / 8);
            replies.write(
                intent,
                template(&text(number)),
                Language::English,
                SOURCE,
                &context(1, &[]),
                u64::from(number) + 200,
            );
        }
        assert_eq!((replies.len(), replies.find(loved).is_some()), (LEARNED_REPLIES_MAX, false));
    }

    #[test]
    fn merged_intents_have_each_reply_once() {
        let mut replies = Replies::default();
        let all = context(1, &[]);
        for (intent, text) in [
            (1, "your card is on its way to you"),
            (2, "your card is on its way to you."),
            (2, "please call us"),
        ] {
            replies.write(IntentId(intent), template(text), Language::English, SOURCE, &all, 1);
        }
        assert_eq!(replies.twins(1), [IntentId(2)]);
        replies.merge(IntentId(2), IntentId(1));
        let written: Vec<u32> = replies.ranked(INTENT, &all).iter().map(|reply| reply.written).collect();
        assert_eq!(written, [2, 1]);
    }
}
