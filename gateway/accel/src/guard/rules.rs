//! The guard's rules, as data.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use waggle_ebpf::guard::{NETWORKS_MAX, UNDO_MAX};

use super::SECOND_NS;
use super::report::GuardRule;
use crate::network::Network;

/// Of the kernel's room, for operators.
const RULES_MAX: usize = NETWORKS_MAX as usize / 2;
/// Of the kernel's room, for addresses that are denied automatically. The rest is for rules that come back
/// before those in their place go.
const AUTOMATIC_MAX: usize = RULES_MAX - UNDO_MAX as usize;

/// What is done to a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GuardAction {
    /// Nothing is done to it.
    Allow,
    /// Nothing is taken from it.
    Deny,
    /// What was said of it is forgotten.
    Remove,
}

/// A change of one rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GuardChange {
    /// What is to be done.
    pub action: GuardAction,
    /// To whom.
    pub network: Network,
    /// For how many seconds; for ever where it is not said.
    #[serde(default)]
    pub for_s: Option<u32>,
    /// Seconds after which what was before comes back, where nobody confirms.
    #[serde(default)]
    pub confirm_within_s: Option<u32>,
}

/// Why a rule is not changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GuardError {
    /// There is nothing that would go by it.
    #[error("there is no guard: {reason}")]
    NoGuard {
        /// Why not.
        reason: String,
    },
    /// An allowed network cannot be denied.
    #[error("{network} is within {allowed}, which is allowed, and allowing wins; remove that first")]
    Allowed {
        /// What was to be denied.
        network: Network,
        /// By which rule it is allowed.
        allowed: Network,
    },
    /// Denying it would deny everybody.
    #[error("{network} holds every IPv4 address, and denying it would deny everybody; name smaller networks")]
    Everybody {
        /// What was to be denied.
        network: Network,
    },
    /// Nothing was said of it.
    #[error("nothing is said of {network}; `waggle accel guard status` lists what there is")]
    NoSuchRule {
        /// Of whom.
        network: Network,
    },
    /// A time that makes no sense.
    #[error("{what} is {value} s; expected {least} to {most}")]
    Seconds {
        /// Which.
        what: &'static str,
        /// As given.
        value: u32,
        /// Least.
        least: u32,
        /// Most.
        most: u32,
    },
    /// Too many rules.
    #[error("there are {RULES_MAX} rules of this kind already; remove some, or name larger networks")]
    Full,
    /// Too many rules are on probation.
    #[error("more than {UNDO_MAX} changes would wait for a confirmation; confirm those that do first")]
    Unconfirmed,
    /// It would not be on probation, and others are.
    #[error("changes wait for a confirmation; confirm them first, or wait until they are taken back")]
    Pending,
    /// Nothing is on probation.
    #[error("no change waits for a confirmation")]
    NothingToConfirm,
    /// The kernel's maps.
    #[error("the kernel does not take it: {0}")]
    Kernel(String),
}

/// Who made a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Said {
    /// The configuration.
    Configuration = 0,
    /// An operator, while it ran.
    Operator = 1,
    /// The gateway, after failed authentications.
    Failures = 2,
}

impl Said {
    const ALL: [Self; 3] = [Self::Configuration, Self::Operator, Self::Failures];

    /// As it stands in the kernel's maps.
    pub(super) fn number(self) -> u32 {
        self as u32
    }

    pub(super) fn from_number(number: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|said| said.number() == number)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// Nanoseconds since boot; 0 is for ever.
    pub(super) until_ns: u64,
    pub(super) said: Said,
}

/// All rules.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Rules {
    pub(super) allow: BTreeMap<Network, Entry>,
    pub(super) deny: BTreeMap<Network, Entry>,
}

impl Rules {
    pub(super) fn configured(allow: &[Network], deny: &[Network]) -> Result<Self, GuardError> {
        let mut rules = Self::default();
        let entry = Entry { until_ns: 0, said: Said::Configuration };
        allow.iter().try_for_each(|network| rules.put(GuardAction::Allow, *network, entry))?;
        deny.iter().try_for_each(|network| rules.put(GuardAction::Deny, *network, entry))?;
        rules.bounded()
    }

    /// These rules with a change.
    pub(super) fn with(&self, change: &GuardChange, now_ns: u64, said: Said) -> Result<Self, GuardError> {
        within("for", change.for_s, 1, 365 * 86_400)?;
        within("confirm-within", change.confirm_within_s, 5, 3_600)?;
        let network = change.network;
        let until_ns = change.for_s.map_or(0, |seconds| now_ns + u64::from(seconds) * SECOND_NS);
        let mut rules = self.clone();
        rules.put(change.action, network, Entry { until_ns, said })?;
        rules.bounded()
    }

    /// These rules, which are the configuration's, with those of a gateway that has ended. What was configured
    /// then is not kept, nor what was said live of a network that the configuration names now, or that
    /// contradicts it, nor more than there is room for.
    pub(super) fn with_those_before(&self, found: &Self, now_ns: u64) -> Self {
        let mut rules = self.clone();
        let allowed = found.allow.iter().map(|rule| (GuardAction::Allow, rule));
        for (action, (network, entry)) in
            allowed.chain(found.deny.iter().map(|rule| (GuardAction::Deny, rule)))
        {
            if entry.said == Said::Configuration || !waggle_ebpf::guard::holds(entry.until_ns, now_ns) {
                continue;
            }
            if self.allow.contains_key(network) || self.deny.contains_key(network) {
                tracing::warn!(%network, ?action, "the configuration names it: what was said live is not kept");
            } else if let Err(error) = rules.put(action, *network, *entry) {
                tracing::warn!(%error, "a rule of the gateway before is not kept");
            }
        }
        rules.bounded().unwrap_or_else(|error| {
            tracing::warn!(%error, "the rules of the gateway before are not kept");
            self.clone()
        })
    }

    fn put(&mut self, action: GuardAction, network: Network, entry: Entry) -> Result<(), GuardError> {
        match action {
            GuardAction::Remove => {
                let was = [self.allow.remove(&network), self.deny.remove(&network)];
                if was.iter().all(Option::is_none) {
                    return Err(GuardError::NoSuchRule { network });
                }
            }
            // What is denied stays so for when allowing ends; until then allowing wins.
            GuardAction::Allow => say(&mut self.allow, network, entry),
            GuardAction::Deny => {
                let every_ipv4 = Network::EVERY_IPV4;
                if network.holds(&every_ipv4) {
                    return Err(GuardError::Everybody { network });
                }
                let holding = self.allow.keys().find(|allowed| allowed.holds(&network));
                if let Some(allowed) = holding.copied() {
                    return Err(GuardError::Allowed { network, allowed });
                }
                if entry.said == Said::Failures {
                    self.make_room_for(&network);
                }
                say(&mut self.deny, network, entry);
            }
        }
        Ok(())
    }

    /// Whoever fails last is denied: of those denied automatically, the one whose time ends first goes.
    fn make_room_for(&mut self, network: &Network) {
        let automatic = || self.deny.iter().filter(|(_, entry)| entry.said == Said::Failures);
        if self.deny.contains_key(network) || automatic().count() < AUTOMATIC_MAX {
            return;
        }
        let first = automatic().min_by_key(|(_, entry)| entry.until_ns).map(|(network, _)| *network);
        if let Some(first) = first {
            self.deny.remove(&first);
        }
    }

    fn bounded(self) -> Result<Self, GuardError> {
        let of = |entries: &BTreeMap<Network, Entry>, by_failures: bool| {
            entries.values().filter(|entry| (entry.said == Said::Failures) == by_failures).count()
        };
        let said = [of(&self.allow, false), of(&self.deny, false)];
        let is_full = said.into_iter().any(|count| count > RULES_MAX) || of(&self.deny, true) > AUTOMATIC_MAX;
        if is_full { Err(GuardError::Full) } else { Ok(self) }
    }

    /// These rules without those that have expired; `None` where none has.
    pub(super) fn without_expired(&self, now_ns: u64) -> Option<Self> {
        let holds = |entry: &Entry| waggle_ebpf::guard::holds(entry.until_ns, now_ns);
        if self.allow.values().chain(self.deny.values()).all(holds) {
            return None;
        }
        let mut rules = self.clone();
        rules.allow.retain(|_, entry| holds(entry));
        rules.deny.retain(|_, entry| holds(entry));
        Some(rules)
    }

    pub(super) fn list(&self, now_ns: u64) -> Vec<GuardRule> {
        let row = |action: GuardAction| {
            move |(network, entry): (&Network, &Entry)| GuardRule {
                action,
                network: *network,
                said: entry.said,
                left_s: (entry.until_ns != 0).then(|| entry.until_ns.saturating_sub(now_ns) / SECOND_NS),
            }
        };
        let allow = self.allow.iter().map(row(GuardAction::Allow));
        allow.chain(self.deny.iter().map(row(GuardAction::Deny))).collect()
    }
}

/// Nothing takes the place of what the configuration says, and nothing that the gateway found takes that of
/// what an operator says.
fn say(entries: &mut BTreeMap<Network, Entry>, network: Network, entry: Entry) {
    let before = entries.get(&network).map(|before| before.said);
    let is_kept = match before {
        None | Some(Said::Failures) => false,
        Some(Said::Operator) => entry.said == Said::Failures,
        Some(Said::Configuration) => true,
    };
    if !is_kept {
        entries.insert(network, entry);
    }
}

fn within(what: &'static str, given: Option<u32>, least: u32, most: u32) -> Result<(), GuardError> {
    match given {
        Some(value) if !(least..=most).contains(&value) => {
            Err(GuardError::Seconds { what, value, least, most })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(text: &str) -> Network {
        text.parse().expect(text)
    }

    fn change(action: GuardAction, text: &str, for_s: Option<u32>) -> GuardChange {
        GuardChange { action, network: network(text), for_s, confirm_within_s: None }
    }

    #[test]
    fn what_is_allowed_cannot_be_denied() {
        let rules = Rules::configured(&[network("10.0.0.0/8")], &[]).expect("no conflict");
        let denied = rules.with(&change(GuardAction::Deny, "10.1.0.0/16", None), 0, Said::Operator);
        assert_eq!(
            denied.expect_err("allowed").to_string(),
            "10.1.0.0/16 is within 10.0.0.0/8, which is allowed, and allowing wins; remove that first"
        );
        // A larger one can: its allowed part stays allowed.
        let larger = rules.with(&change(GuardAction::Deny, "8.0.0.0/6", None), 0, Said::Operator);
        assert_eq!(larger.expect("larger").list(0).len(), 2);
        for everybody in ["0.0.0.0/0", "::/0", "::/16"] {
            let denied = rules.with(&change(GuardAction::Deny, everybody, None), 0, Said::Operator);
            assert!(matches!(denied, Err(GuardError::Everybody { .. })), "{denied:?}");
            let configured = Rules::configured(&[], &[network(everybody)]);
            assert!(matches!(configured, Err(GuardError::Everybody { .. })), "{configured:?}");
        }
        assert!(rules.with(&change(GuardAction::Deny, "2000::/3", None), 0, Said::Operator).is_ok());
        let conflict = Rules::configured(&[network("10.0.0.0/8")], &[network("10.0.0.0/8")]);
        assert!(matches!(conflict, Err(GuardError::Allowed { .. })));
    }

    #[test]
    fn rules_expire_are_removed_and_are_bounded() {
        let rules = Rules::default();
        let rules =
            rules.with(&change(GuardAction::Deny, "192.0.2.0/24", Some(10)), SECOND_NS, Said::Operator);
        let rules = rules.expect("room");
        assert_eq!(rules.list(2 * SECOND_NS)[0].left_s, Some(9));
        assert_eq!(rules.without_expired(10 * SECOND_NS), None);
        assert_eq!(rules.without_expired(11 * SECOND_NS), Some(Rules::default()));
        let other = change(GuardAction::Remove, "192.0.2.0/25", None);
        assert!(matches!(rules.with(&other, 0, Said::Operator), Err(GuardError::NoSuchRule { .. })));
        let removed = rules.with(&change(GuardAction::Remove, "192.0.2.0/24", None), 0, Said::Operator);
        assert_eq!(removed, Ok(Rules::default()));
        let no_time = rules.with(&change(GuardAction::Deny, "192.0.2.0/25", Some(0)), 0, Said::Operator);
        assert!(matches!(no_time, Err(GuardError::Seconds { .. })));

        let mut full = Rules::default();
        let entry = Entry { until_ns: 0, said: Said::Operator };
        let address = |n: u32| Network::of(std::net::IpAddr::from(n.to_be_bytes()));
        full.deny = (0..RULES_MAX as u32).map(|n| (address(n), entry)).collect();
        let one_more = change(GuardAction::Deny, "203.0.113.0/24", None);
        assert_eq!(full.with(&one_more, 0, Said::Operator), Err(GuardError::Full));
        let automatic = full.with(&one_more, 0, Said::Failures);
        assert_eq!(automatic.expect("room of its own").deny.len(), RULES_MAX + 1);
    }

    #[test]
    fn whoever_fails_last_is_denied_in_place_of_the_one_whose_time_ends_first() {
        let mut rules = Rules::default();
        let entry = |n: u32| Entry { until_ns: 1_000 + u64::from(n ^ 5), said: Said::Failures };
        let address = |n: u32| Network::of(std::net::IpAddr::from(n.to_be_bytes()));
        rules.deny = (0..AUTOMATIC_MAX as u32).map(|n| (address(n), entry(n))).collect();
        let by_operator = (network("203.0.113.1"), Entry { until_ns: 1, said: Said::Operator });
        rules.deny.insert(by_operator.0, by_operator.1);
        let again = rules.with(&change(GuardAction::Deny, "0.0.0.7", Some(9)), 0, Said::Failures);
        assert_eq!(again.expect("there already").deny.len(), AUTOMATIC_MAX + 1);
        let rules = rules.with(&change(GuardAction::Deny, "203.0.113.7", Some(9)), 0, Said::Failures);
        let rules = rules.expect("room is made");
        assert_eq!(rules.deny.len(), AUTOMATIC_MAX + 1);
        assert!(rules.deny.contains_key(&network("203.0.113.7")) && rules.deny.contains_key(&by_operator.0));
        assert!(!rules.deny.contains_key(&address(5)), "its time ends first");
    }

    #[test]
    fn what_is_said_for_a_while_ends_nothing_else() {
        let configured = Rules::configured(&[network("192.0.2.1")], &[network("192.0.2.2")]);
        let mut rules = configured.expect("no conflict");
        for (action, text, for_s) in [
            (GuardAction::Deny, "192.0.2.3", None),
            (GuardAction::Allow, "192.0.2.3", Some(10)),
            (GuardAction::Allow, "192.0.2.1", Some(10)),
            (GuardAction::Deny, "192.0.2.2", Some(10)),
        ] {
            rules = rules.with(&change(action, text, for_s), 0, Said::Operator).expect(text);
        }
        let rules = rules.with(&change(GuardAction::Deny, "192.0.2.2", Some(5)), 0, Said::Failures);
        let rules = rules.expect("denied already");
        assert_eq!(rules.list(0).len(), 4);
        let later = rules.without_expired(11 * SECOND_NS).expect("one has");
        let listed: Vec<_> =
            later.list(0).iter().map(|rule| (rule.action, rule.network.to_string())).collect();
        let [allow, deny] = [GuardAction::Allow, GuardAction::Deny];
        assert_eq!(
            listed,
            [(allow, "192.0.2.1/32".into()), (deny, "192.0.2.2/32".into()), (deny, "192.0.2.3/32".into())]
        );
    }

    #[test]
    fn a_successor_keeps_what_was_said_live_and_goes_by_its_own_configuration() {
        let entry = |until_ns, said| Entry { until_ns, said };
        let found = Rules {
            allow: BTreeMap::from([
                (network("192.0.2.1"), entry(0, Said::Operator)),
                (network("10.0.0.0/8"), entry(0, Said::Configuration)),
                (network("192.0.2.0/24"), entry(0, Said::Operator)),
                (network("172.16.0.0/12"), entry(90, Said::Operator)),
            ]),
            deny: BTreeMap::from([
                (network("198.51.100.0/24"), entry(0, Said::Operator)),
                (network("198.51.100.7"), entry(90, Said::Failures)),
                (network("203.0.113.0/24"), entry(10, Said::Operator)),
                (network("172.16.0.0/12"), entry(0, Said::Configuration)),
                (network("172.16.1.0/24"), entry(0, Said::Operator)),
            ]),
        };
        let configured = Rules::configured(&[network("172.16.0.0/12")], &[network("192.0.2.0/24")]);
        let rules = configured.expect("no conflict").with_those_before(&found, 50);
        let listed: Vec<_> =
            rules.list(50).iter().map(|rule| (rule.action, rule.network.to_string(), rule.said)).collect();
        let deny = GuardAction::Deny;
        let allow = GuardAction::Allow;
        assert_eq!(
            listed,
            [
                (allow, "172.16.0.0/12".to_owned(), Said::Configuration),
                (allow, "192.0.2.1/32".to_owned(), Said::Operator),
                (deny, "192.0.2.0/24".to_owned(), Said::Configuration),
                (deny, "198.51.100.0/24".to_owned(), Said::Operator),
                (deny, "198.51.100.7/32".to_owned(), Said::Failures),
            ]
        );
    }
}
