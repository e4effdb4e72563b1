//! A made-up quarter: who writes when about what, and how agents act. The texts are those of a data set.

use anyhow::{Result, bail};

use super::wording::{self, REPLIES};
use crate::clock::Random;
use crate::learn::task::Task;

/// Weeks of a quarter.
pub(super) const WEEKS: usize = 13;
/// Agents of the team.
pub(super) const AGENTS: u32 = 4;
/// The week that the last new intents come in.
const LAST_NEW_WEEK: usize = 9;
/// Some intents are asked for more often than others: by rank, as 1/(rank + 3).
const RANK_OFFSET: f64 = 3.0;
const GIVEN: [&str; 12] =
    ["Mia", "Noah", "Aisha", "Jan", "Sofia", "Omar", "Yuki", "Lena", "Raj", "Eva", "Tom", "Ines"];
const FAMILY: [&str; 12] = [
    "Smith", "Garcia", "Chen", "Mueller", "Silva", "Kim", "Rossi", "Khan", "Novak", "Dubois", "Ito", "Brown",
];

/// How large it is, and how its people are.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub(in crate::learn) struct Shape {
    /// Dialogues of a week.
    pub per_week: usize,
    /// Of the intents, the share that is there from the start; the others come until the tenth week.
    pub at_start: f64,
    /// Of agents' acts, the share that is about the wrong intent.
    pub errors: f64,
    /// Of the dialogues, the share that is about none of the intents, where the data set has such texts.
    pub out_of_scope: f64,
    /// Of replies without a right suggestion, the share that is made with a macro named as the intent.
    pub with_macro: f64,
    /// Of them, the share whose message is given a label.
    pub with_label: f64,
    /// Of right suggestions, the share that is sent as it is; the others are edited.
    pub accepted: f64,
}

/// An intent of the team.
#[derive(Debug, Clone)]
pub(in crate::learn) struct Intent {
    pub name: String,
    pub replies: [String; REPLIES],
    /// The first week that it is asked for in, from 0.
    pub from_week: usize,
    weight: f64,
}

/// A customer's message.
#[derive(Debug, Clone)]
pub(in crate::learn) struct Contact {
    /// None is out of scope.
    pub intent: Option<usize>,
    pub text: String,
    pub name: &'static str,
    pub requester: String,
    /// Who answers, from 1.
    pub agent: u32,
    /// Of what this agent does.
    pub seed: u64,
}

/// All of a quarter.
#[derive(Debug, Clone)]
pub(in crate::learn) struct World {
    pub shape: Shape,
    pub intents: Vec<Intent>,
    pub weeks: Vec<Vec<Contact>>,
    /// Messages that nobody answers: the same ones are asked at the end of every week.
    pub held_out: Vec<Contact>,
}

/// What an agent does about a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::learn) struct Act {
    pub reply: String,
    /// The reply is made of the suggestion.
    pub is_suggested: bool,
    /// It was changed.
    pub is_edited: bool,
    /// The macro that it is made with.
    pub made_with: Option<String>,
    /// What the message wants, where the agent says so before.
    pub label: Option<String>,
}

impl World {
    /// Makes one: the same seed makes the same.
    ///
    /// # Errors
    /// Where the data set has too few texts.
    pub(super) fn new(task: &Task, shape: Shape, held_out: usize, seed: u64) -> Result<Self> {
        let mut random = Random::new(seed);
        let intents = intents(task, shape, &mut random);
        let mut pools: Vec<Vec<&str>> = vec![Vec::new(); intents.len()];
        for row in task.order(seed, 0) {
            if let Some((text, intent)) = task.train.get(row)
                && let Some(pool) = pools.get_mut(*intent as usize)
            {
                pool.push(text);
            }
        }
        if let Some(empty) = pools.iter().position(Vec::is_empty) {
            bail!("the intent {:?} has no texts: expected at least one", task.intents[empty]);
        }
        let mut next = vec![0_usize; intents.len()];
        let mut weeks = Vec::new();
        for week in 0..WEEKS {
            let mut contacts = Vec::new();
            for _ in 0..shape.per_week {
                if !task.oos.is_empty() && random.unit() <= shape.out_of_scope {
                    let text = &task.oos[random.below(task.oos.len())];
                    contacts.push(contact(None, text, &mut random));
                    continue;
                }
                let intent = drawn(&intents, week, &mut random);
                // Texts come once each, and again only where there are no more.
                let (pool, at) = (&pools[intent], &mut next[intent]);
                contacts.push(contact(Some(intent), pool[*at % pool.len()], &mut random));
                *at += 1;
            }
            weeks.push(contacts);
        }
        let mut held = Vec::new();
        while held.len() < held_out {
            let intent = drawn(&intents, WEEKS, &mut random);
            let texts: Vec<_> = task.test.iter().filter(|(_, of)| *of as usize == intent).collect();
            let Some((text, _)) = texts.get(random.below(texts.len())) else { continue };
            held.push(contact(Some(intent), text, &mut random));
        }
        Ok(Self { shape, intents, weeks, held_out: held })
    }

    /// Only messages and how they are answered, by agents without fault.
    ///
    /// # Errors
    /// As [`World::new`].
    pub(in crate::learn) fn of_messages(task: &Task, seed: u64) -> Result<Self> {
        let shape = Shape {
            per_week: task.train.len().div_ceil(WEEKS),
            at_start: 1.0,
            errors: 0.0,
            out_of_scope: 0.0,
            with_macro: 1.0,
            with_label: 0.0,
            accepted: 1.0,
        };
        Self::new(task, shape, 0, seed)
    }

    /// All messages that are answered, again and again.
    pub(in crate::learn) fn contacts(&self) -> impl Iterator<Item = &Contact> {
        self.weeks.iter().flatten().cycle()
    }

    /// What a message is about.
    pub(in crate::learn) fn intent_of(&self, contact: &Contact) -> Option<&str> {
        let intent = self.intents.get(contact.intent?)?;
        Some(&intent.name)
    }

    /// One of the messages, at random.
    pub(in crate::learn) fn any<'a>(&'a self, random: &mut Random) -> Option<&'a Contact> {
        let week = self.weeks.get(random.below(self.weeks.len()))?;
        week.get(random.below(week.len()))
    }

    /// Whether a suggested text is what this contact needs.
    pub(super) fn is_right(&self, contact: &Contact, text: &str) -> bool {
        let intent = contact.intent.and_then(|intent| self.intents.get(intent));
        intent.is_some_and(|intent| wording::is_reply_of(&intent.name, text))
    }

    /// What the agent does who sees this suggestion, or none.
    pub(in crate::learn) fn act(&self, contact: &Contact, suggested: Option<&str>) -> Act {
        let mut random = Random::new(contact.seed);
        let shape = &self.shape;
        let mut act =
            Act { reply: String::new(), is_suggested: false, is_edited: false, made_with: None, label: None };
        let errs = random.unit() <= shape.errors;
        let (likes, macros, labels) = (random.unit(), random.unit(), random.unit());
        let Some(mut intent) = contact.intent else {
            act.reply = wording::greeted(contact.name, wording::apart(&mut random));
            return act;
        };
        if errs {
            intent = random.below(self.intents.len());
        }
        // Whoever errs takes a suggestion for right that is about what he thinks.
        let Some(meant) = self.intents.get(intent) else { return act };
        if let Some(text) = suggested.filter(|text| wording::is_reply_of(&meant.name, text)) {
            act.is_suggested = true;
            act.is_edited = likes > shape.accepted;
            act.reply = text.to_owned();
            if act.is_edited {
                act.reply = format!("{text} {}", wording::added(&mut random));
            }
            return act;
        }
        // Each agent has a favourite among the intent's replies.
        let variant = match random.below(10) {
            0..7 => contact.agent as usize % REPLIES,
            _ => random.below(REPLIES),
        };
        act.reply = wording::greeted(contact.name, meant.replies.get(variant).map_or("", String::as_str));
        act.made_with = (macros <= shape.with_macro).then(|| meant.name.clone());
        act.label = (act.made_with.is_none() && labels <= shape.with_label).then(|| meant.name.clone());
        act
    }
}

fn intents(task: &Task, shape: Shape, random: &mut Random) -> Vec<Intent> {
    let count = task.intents.len();
    let mut ranks: Vec<usize> = (0..count).collect();
    for last in (1..count).rev() {
        ranks.swap(last, random.below(last + 1));
    }
    let at_start = ((count as f64 * shape.at_start).round() as usize).clamp(1, count);
    let mut places: Vec<usize> = (0..count).collect();
    for last in (1..count).rev() {
        places.swap(last, random.below(last + 1));
    }
    let later = (count - at_start).max(1);
    let intent = |((name, rank), place): ((&String, usize), usize)| Intent {
        name: name.clone(),
        replies: wording::replies(name, random),
        from_week: match place.checked_sub(at_start) {
            None => 0,
            Some(new) => 1 + new * LAST_NEW_WEEK / later,
        },
        weight: 1.0 / (rank as f64 + RANK_OFFSET),
    };
    task.intents.iter().zip(ranks).zip(places).map(intent).collect()
}

/// One of the intents that are asked for in that week, by weight.
fn drawn(intents: &[Intent], week: usize, random: &mut Random) -> usize {
    let there = |intent: &&Intent| intent.from_week <= week;
    let all: f64 = intents.iter().filter(there).map(|intent| intent.weight).sum();
    let mut left = random.unit() * all;
    let mut last = 0;
    for (place, intent) in intents.iter().enumerate().filter(|(_, intent)| there(intent)) {
        last = place;
        left -= intent.weight;
        if left <= 0.0 {
            break;
        }
    }
    last
}

fn contact(intent: Option<usize>, question: &str, random: &mut Random) -> Contact {
    let name = GIVEN[random.below(GIVEN.len())];
    let family = FAMILY[random.below(FAMILY.len())];
    let number = random.below(1_000);
    let (given, last) = (name.to_lowercase(), family.to_lowercase());
    Contact {
        intent,
        text: wording::message(question, random),
        name,
        requester: format!("{name} {family} <{given}.{last}{number}@example.org>"),
        agent: 1 + random.below(AGENTS as usize) as u32,
        seed: random.next_u64(),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::learn::dataset::Example;

    pub(in crate::learn::quarter) const SHAPE: Shape = Shape {
        per_week: 60,
        at_start: 0.6,
        errors: 0.0,
        out_of_scope: 0.1,
        with_macro: 0.5,
        with_label: 0.5,
        accepted: 0.8,
    };

    pub(in crate::learn::quarter) fn task() -> Task {
        let wishes = ["refund money", "reset password", "lost parcel", "change address", "close account"];
        let all = |asks: &[&str]| -> Vec<Example> {
            let of = |wish: &&str, ask: &&str| Example {
                text: format!("{ask} {wish}"),
                label: wish.replace(' ', "_"),
            };
            wishes.iter().flat_map(|wish| asks.iter().map(move |ask| of(wish, ask))).collect()
        };
        let oos = vec![Example { text: "what is the weather".into(), label: "oos".into() }];
        Task::of(
            all(&["I want to", "how can I", "please help me", "it is about"]),
            all(&["I need to"]),
            oos,
            &[],
        )
        .unwrap()
    }

    #[test]
    fn a_world_follows_from_its_seed_and_new_intents_come_later() {
        let (one, same) =
            (World::new(&task(), SHAPE, 20, 7).unwrap(), World::new(&task(), SHAPE, 20, 7).unwrap());
        let texts =
            |world: &World| world.weeks.iter().flatten().map(|it| it.text.clone()).collect::<Vec<_>>();
        assert_eq!(texts(&one), texts(&same));
        assert_eq!(one.intents.iter().filter(|intent| intent.from_week == 0).count(), 3);
        for (week, contacts) in one.weeks.iter().enumerate() {
            let early =
                contacts.iter().filter_map(|it| it.intent).filter(|it| one.intents[*it].from_week > week);
            assert_eq!(early.count(), 0);
        }
        assert!(one.weeks.iter().flatten().any(|contact| contact.intent.is_none()));
        assert!(one.held_out.iter().all(|contact| contact.intent.is_some()));
    }

    #[test]
    fn agents_take_right_suggestions_only() {
        let world = World::new(&task(), SHAPE, 1, 7).unwrap();
        let contact = world.weeks[0].iter().find(|contact| contact.intent.is_some()).unwrap();
        let own = world.act(contact, None);
        assert!(!own.is_suggested && world.is_right(contact, &own.reply));
        let taken = world.act(contact, Some(&own.reply));
        assert!(taken.is_suggested && taken.reply.starts_with(&own.reply));
        let other = world
            .intents
            .iter()
            .find(|it| Some(&it.name) != contact.intent.map(|at| &world.intents[at].name));
        let turned_down = world.act(contact, Some(&other.unwrap().replies[0]));
        assert!(!turned_down.is_suggested && world.is_right(contact, &turned_down.reply));
    }
}
