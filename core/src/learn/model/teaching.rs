//! What administrators teach: it concerns the whole tenant.

use super::names::tidy;
use super::{Contender, Model, Notice, challenger_of};
use crate::id::Offset;
use crate::learn::intent::Recipe;
use crate::learn::lesson::Teach;
use crate::learn::mode::Mode;
use crate::limits::{QUEUES_MAX, TAG_BYTES_MAX};

/// Why something cannot be taught.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
enum Refused {
    #[error("there is no intent {0:?}; expected the name of one that the report lists")]
    NoIntent(String),
    #[error("{0:?} is no name for an intent; expected visible characters")]
    NoName(String),
    #[error("the name {0:?} is taken; expected another one, or a merge")]
    Taken(String),
    #[error("an intent cannot be merged into itself; expected another one")]
    Itself,
    #[error("there is no recipe {given:?}; expected one of {expected}")]
    NoRecipe { given: String, expected: String },
    #[error("there is no challenger to promote; expected one that is switched on and not barred")]
    NoChallenger,
    #[error(
        "there is no challenger to take the champion's place; expected another recipe, or one that learns beside it"
    )]
    NoOther,
    #[error("{0} as alpha is none; expected more than 0 and at most 0.5")]
    Alpha(f64),
    #[error("a tag's beginning has {bytes} bytes; expected at most {TAG_BYTES_MAX}")]
    LongPrefix { bytes: usize },
    #[error("offset {to} is not before what was learned last ({position}); expected an earlier one")]
    Future { to: Offset, position: Offset },
    #[error("there are too many intents; merge or remove some")]
    TooMany,
    #[error("{0}")]
    Mode(#[from] crate::learn::ModeError),
    #[error("there are too many queues with a mode")]
    TooManyQueues,
}

fn recipe(name: &str) -> Result<Recipe, Refused> {
    let expected = || Recipe::ALL.map(Recipe::name).join(", ");
    let given = || name.chars().take(40).collect();
    Recipe::named(name).ok_or_else(|| Refused::NoRecipe { given: given(), expected: expected() })
}

impl Model {
    /// Whether a `taught` event with this data would change something now.
    ///
    /// # Errors
    /// What is wrong with it, and what would be right.
    pub fn check(&self, teaching: &str) -> Result<(), String> {
        let teach: Teach =
            serde_json::from_str(teaching).map_err(|error| format!("it cannot be read: {error}"))?;
        self.clone_for_check().try_teach(&teach, &mut Vec::new()).map_err(|refused| refused.to_string())
    }

    /// Enough of the model to try a change on: without what takes room.
    fn clone_for_check(&self) -> Self {
        Self {
            position: self.position,
            settings: self.settings.clone(),
            names: self.names.clone(),
            champion: Contender::new(self.champion.recipe()),
            challenger: self.challenger.as_ref().map(|challenger| Contender::new(challenger.recipe())),
            barred: self.barred.clone(),
            modes: self.modes.clone(),
            ..Self::default()
        }
    }

    pub(super) fn teach(&mut self, teach: &Teach, notices: &mut Vec<Notice>) {
        if let Err(refused) = self.try_teach(teach, notices) {
            notices.push(Notice::Ignored { why: refused.to_string() });
        }
    }

    fn try_teach(&mut self, teach: &Teach, notices: &mut Vec<Notice>) -> Result<(), Refused> {
        let find =
            |model: &Self, name: &str| model.names.find(name).ok_or_else(|| Refused::NoIntent(shown(name)));
        match teach {
            Teach::Create { name } => {
                let tidied = tidy(name).ok_or_else(|| Refused::NoName(shown(name)))?;
                if self.names.find(&tidied).is_some() {
                    return Err(Refused::Taken(tidied));
                }
                self.names.create(&tidied).ok_or(Refused::TooMany)?;
                notices.push(Notice::NewIntent { intent: tidied });
            }
            Teach::Rename { name, to } => {
                let intent = find(self, name)?;
                let to = tidy(to).ok_or_else(|| Refused::NoName(shown(to)))?;
                if self.names.find(&to).is_some_and(|other| other != intent) {
                    return Err(Refused::Taken(to));
                }
                let from = self.names.name(intent);
                if !self.names.rename(intent, to.clone()) {
                    return Err(Refused::TooMany);
                }
                notices.push(Notice::Renamed { from, to });
            }
            Teach::Merge { name, into } => {
                let (from, into) = (find(self, name)?, find(self, into)?);
                if from == into {
                    return Err(Refused::Itself);
                }
                let notice = Notice::Merged { from: self.names.name(from), into: self.names.name(into) };
                self.merge_intents(from, into);
                notices.push(notice);
            }
            Teach::Remove { name } => {
                let intent = find(self, name)?;
                notices.push(Notice::Removed { intent: self.names.name(intent) });
                self.remove_intent(intent);
            }
            Teach::Promote { recipe: name } => self.promote_by_hand(name.as_deref(), notices)?,
            Teach::Bar { recipe: name } => self.bar(recipe(name)?, notices)?,
            Teach::Allow { recipe: name } => {
                let recipe = recipe(name)?.name();
                self.barred.remove(recipe);
                self.find_challenger();
                notices.push(Notice::Allowed { recipe });
            }
            Teach::Mode { queue, mode } => {
                if self.modes.len() >= QUEUES_MAX && !self.modes.contains_key(queue) {
                    return Err(Refused::TooManyQueues);
                }
                self.modes.insert(*queue, Mode::check(*mode)?);
                notices.push(Notice::ModeSet { queue: *queue });
            }
            Teach::Settings { tag_prefix, challenger, alpha } => {
                self.set(tag_prefix.as_deref(), *challenger, *alpha)?;
                notices.push(Notice::SettingsSet);
            }
            Teach::Rollback { to } => {
                if *to >= self.position {
                    return Err(Refused::Future { to: *to, position: self.position });
                }
                notices.push(Notice::RolledBack { to: to.0 });
            }
        }
        Ok(())
    }

    fn promote_by_hand(&mut self, name: Option<&str>, notices: &mut Vec<Notice>) -> Result<(), Refused> {
        let wanted = name.map(recipe).transpose()?;
        let challenger = self.challenger.as_ref().map(Contender::recipe).ok_or(Refused::NoChallenger)?;
        if wanted.is_some_and(|wanted| wanted != challenger) {
            return Err(Refused::NoChallenger);
        }
        self.promote("an administrator said so".to_owned(), notices);
        Ok(())
    }

    fn bar(&mut self, barred: Recipe, notices: &mut Vec<Notice>) -> Result<(), Refused> {
        let is_champion = self.champion.recipe() == barred;
        if is_champion && self.challenger.is_none() {
            return Err(Refused::NoOther);
        }
        self.barred.insert(barred.name().to_owned());
        notices.push(Notice::Barred { recipe: barred.name() });
        if is_champion {
            self.promote("the champion's recipe was barred".to_owned(), notices);
        }
        // What is barred challenges nobody. Another one begins with nothing: it learns from here on.
        if self.challenger.as_ref().is_some_and(|challenger| challenger.recipe() == barred) {
            self.challenger = None;
            self.find_challenger();
        }
        Ok(())
    }

    /// A challenger that begins with nothing, where there is none and shall be one.
    fn find_challenger(&mut self) {
        if self.challenger.is_none() && self.settings.has_challenger {
            self.challenger = challenger_of(self.champion.recipe(), &self.barred).map(Contender::new);
            self.trial.begin_anew();
        }
    }

    fn set(
        &mut self,
        tag_prefix: Option<&str>,
        challenger: Option<bool>,
        alpha: Option<f64>,
    ) -> Result<(), Refused> {
        if let Some(bytes) = tag_prefix.map(str::len).filter(|bytes| *bytes > TAG_BYTES_MAX) {
            return Err(Refused::LongPrefix { bytes });
        }
        // Written so that a number that is none is refused, too.
        if let Some(alpha) = alpha.filter(|alpha| !(*alpha > 0.0 && *alpha <= 0.5)) {
            return Err(Refused::Alpha(alpha));
        }
        if let Some(prefix) = tag_prefix {
            self.settings.tag_prefix = prefix.to_owned();
        }
        self.settings.alpha = alpha.unwrap_or(self.settings.alpha);
        self.settings.has_challenger = challenger.unwrap_or(self.settings.has_challenger);
        if !self.settings.has_challenger {
            self.challenger = None;
        }
        self.find_challenger();
        Ok(())
    }
}

fn shown(name: &str) -> String {
    name.chars().take(40).collect()
}
