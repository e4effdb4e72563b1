//! Which leg a connection is of and what that leg's profile asks for: as the configuration says it, and
//! as it was changed since.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use waggle_ebpf::{Feature, Leg, Profile, RuleKey, Side, sides};

use super::network::Network;

/// Networks that may be named for all legs together.
const NETWORKS_MAX: usize = 256;
/// What is on this machine.
const LOOPBACK: [&str; 2] = ["127.0.0.0/8", "::1/128"];

/// Settings of the legs, as in the configuration and on the control socket; what is not named stays.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LegSettings {
    /// Remote clients.
    #[serde(skip_serializing_if = "ProfileSettings::is_empty")]
    pub agent: ProfileSettings,
    /// Other nodes.
    #[serde(skip_serializing_if = "ProfileSettings::is_empty")]
    pub mesh: ProfileSettings,
    /// This machine.
    #[serde(skip_serializing_if = "ProfileSettings::is_empty")]
    pub local: ProfileSettings,
}

impl LegSettings {
    /// The settings of `leg`.
    #[must_use]
    pub fn of(&self, leg: Leg) -> &ProfileSettings {
        match leg {
            Leg::Agent => &self.agent,
            Leg::Mesh => &self.mesh,
            Leg::Local => &self.local,
        }
    }

    /// The settings of `leg`, to be filled.
    pub fn of_mut(&mut self, leg: Leg) -> &mut ProfileSettings {
        match leg {
            Leg::Agent => &mut self.agent,
            Leg::Mesh => &mut self.mesh,
            Leg::Local => &mut self.local,
        }
    }
}

/// Settings of one leg. A value of 0 leaves the kernel's own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ProfileSettings(BTreeMap<String, Setting>);

/// A value, or networks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
enum Setting {
    Value(u32),
    Networks(Vec<Network>),
    /// So that the error can say what was wrong with it.
    Other(serde_json::Value),
}

const NETWORKS: &str = "networks";

impl ProfileSettings {
    /// Whether nothing is named.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Names a value by its feature's word; whether it is one is found when the settings are taken.
    pub fn set(&mut self, feature: &str, value: u32) {
        self.0.insert(feature.to_owned(), Setting::Value(value));
    }

    /// Names the networks whose clients are of this leg.
    pub fn set_networks(&mut self, networks: Vec<Network>) {
        self.0.insert(NETWORKS.to_owned(), Setting::Networks(networks));
    }
}

/// Why settings are not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProfileError {
    /// No setting of this name.
    #[error("the {leg} leg has no setting {name:?}; expected one of {known}")]
    Unknown {
        /// The leg's word.
        leg: &'static str,
        /// As given.
        name: String,
        /// The names there are.
        known: String,
    },
    /// Not a number, or out of range.
    #[error("{name} of the {leg} leg is {value}; expected 0 (the kernel's own) or {least} to {most}")]
    Range {
        /// The leg's word.
        leg: &'static str,
        /// The feature's word.
        name: &'static str,
        /// As given.
        value: String,
        /// Smallest.
        least: u32,
        /// Largest.
        most: u32,
    },
    /// Not a list of networks.
    #[error("networks of the {leg} leg: {why}")]
    Networks {
        /// The leg's word.
        leg: &'static str,
        /// What is wrong.
        why: String,
    },
    /// Both ends of the leg have this profile, and one would send again what the other is about to
    /// acknowledge.
    #[error(
        "rto_min_us of the mesh leg ({rto_min_us}) is below its delack_max_us ({delack_max_us}): both ends \
         have this profile, and each would repeat what the other has; expected at least as much"
    )]
    Timers {
        /// Smallest retransmission timeout.
        rto_min_us: u32,
        /// Longest delay of an acknowledgement.
        delack_max_us: u32,
    },
    /// One network on two legs.
    #[error("{network} is on the {first} leg and on the {second} leg; expected one of them")]
    Conflict {
        /// Which.
        network: Network,
        /// A leg's word.
        first: &'static str,
        /// Another's.
        second: &'static str,
    },
    /// Too many networks.
    #[error("{count} networks; expected at most {NETWORKS_MAX}")]
    TooMany {
        /// How many.
        count: usize,
    },
    /// The kernel's map did not take it; the settings are as before.
    #[error("the kernel does not take it: {0}")]
    Kernel(String),
}

/// Profiles and networks of all legs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Table {
    pub(super) profiles: [Profile; Leg::ALL.len()],
    pub(super) networks: BTreeMap<Network, Leg>,
}

impl Default for Table {
    fn default() -> Self {
        let loopback = LOOPBACK.into_iter().filter_map(|text| text.parse().ok());
        Self {
            profiles: Leg::ALL.map(Leg::profile),
            networks: loopback.map(|network| (network, Leg::Local)).collect(),
        }
    }
}

impl Table {
    /// This table with `settings` over it. Networks replace those that the leg had.
    pub(super) fn with(&self, settings: &LegSettings) -> Result<Self, ProfileError> {
        let mut table = self.clone();
        let mut named = Vec::new();
        for leg in Leg::ALL {
            for (name, setting) in &settings.of(leg).0 {
                if name == NETWORKS {
                    table.networks.retain(|_, of| *of != leg);
                    named.push((leg, networks(leg, setting)?));
                } else {
                    let feature = feature(leg, name)?;
                    table.profiles[leg as usize].values[feature as usize] = value(leg, feature, setting)?;
                }
            }
        }
        for (leg, networks) in named {
            for network in networks {
                let before = table.networks.insert(network, leg);
                if let Some(first) = before.filter(|first| *first != leg) {
                    let (first, second) = (first.name(), leg.name());
                    return Err(ProfileError::Conflict { network, first, second });
                }
            }
        }
        table.checked()
    }

    /// This table with `leg`, or all legs, as in `base`.
    pub(super) fn reset(&self, leg: Option<Leg>, base: &Self) -> Self {
        let Some(leg) = leg else {
            return base.clone();
        };
        let mut table = self.clone();
        table.profiles[leg as usize] = base.profiles[leg as usize];
        table.networks.retain(|_, of| *of != leg);
        let own = base.networks.iter().filter(|(_, of)| **of == leg);
        table.networks.extend(own.map(|(network, leg)| (*network, *leg)));
        table
    }

    /// Whether a leg is the same in both.
    pub(super) fn has_same(&self, leg: Leg, other: &Self) -> bool {
        self.profiles[leg as usize] == other.profiles[leg as usize]
            && self.networks_of(leg) == other.networks_of(leg)
    }

    fn checked(self) -> Result<Self, ProfileError> {
        let mesh = &self.profiles[Leg::Mesh as usize];
        if let (Some(rto_min_us), Some(delack_max_us)) =
            (mesh.wanted(Feature::RtoMin), mesh.wanted(Feature::DelackMax))
            && rto_min_us < delack_max_us
        {
            return Err(ProfileError::Timers { rto_min_us, delack_max_us });
        }
        match self.networks.len() {
            count if count > NETWORKS_MAX => Err(ProfileError::TooMany { count }),
            _ => Ok(self),
        }
    }

    /// The leg of a connection: the longest network that holds its other end decides on ports for
    /// clients; a mesh port is always of the mesh.
    pub(super) fn leg_of(&self, of_port: Leg, peer: IpAddr) -> Leg {
        if of_port == Leg::Mesh {
            return Leg::Mesh;
        }
        let holding = self.networks.iter().filter(|(network, _)| network.contains(peer));
        holding.max_by_key(|(network, _)| network.bits()).map_or(of_port, |(_, leg)| *leg)
    }

    /// What the trie holds for these ports.
    pub(super) fn rules(&self, ports: &[(Leg, u16)]) -> BTreeMap<Rule, Leg> {
        let mut rules = BTreeMap::new();
        for (of_port, port) in ports {
            for side in sides(*of_port) {
                rules.insert(Rule::new(*side, *port, Network::ALL), *of_port);
                if *of_port != Leg::Mesh {
                    let named = self.networks.iter();
                    rules.extend(named.map(|(network, leg)| (Rule::new(*side, *port, *network), *leg)));
                }
            }
        }
        rules
    }

    pub(super) fn networks_of(&self, leg: Leg) -> Vec<Network> {
        let own = self.networks.iter().filter(|(_, of)| **of == leg);
        own.map(|(network, _)| *network).collect()
    }
}

/// A key of the trie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rule {
    remote_side: bool,
    port: u16,
    network: Network,
}

impl Rule {
    pub(super) fn new(side: Side, port: u16, network: Network) -> Self {
        Self { remote_side: side == Side::Remote, port, network }
    }

    pub(super) fn key(&self) -> RuleKey {
        let side = if self.remote_side { Side::Remote } else { Side::Local };
        RuleKey::new(side, self.port, self.network.address())
    }

    pub(super) fn bits(&self) -> u32 {
        RuleKey::PORT_BITS + u32::from(self.network.bits())
    }
}

fn feature(leg: Leg, name: &str) -> Result<Feature, ProfileError> {
    Feature::from_name(name).ok_or_else(|| {
        let words = Feature::ALL.into_iter().map(Feature::name).chain([NETWORKS]);
        let known = words.collect::<Vec<_>>().join(", ");
        ProfileError::Unknown { leg: leg.name(), name: name.to_owned(), known }
    })
}

fn value(leg: Leg, feature: Feature, setting: &Setting) -> Result<u32, ProfileError> {
    let (least, most) = feature.range();
    let refused =
        |value: String| ProfileError::Range { leg: leg.name(), name: feature.name(), value, least, most };
    match setting {
        Setting::Value(value) if *value == 0 || (least..=most).contains(value) => Ok(*value),
        Setting::Value(value) => Err(refused(value.to_string())),
        Setting::Networks(_) => Err(refused("a list".to_owned())),
        Setting::Other(value) => Err(refused(value.to_string())),
    }
}

fn networks(leg: Leg, setting: &Setting) -> Result<Vec<Network>, ProfileError> {
    let refused = |why: String| ProfileError::Networks { leg: leg.name(), why };
    match setting {
        Setting::Networks(networks) => Ok(networks.clone()),
        Setting::Other(serde_json::Value::Array(items)) => {
            let parsed = items.iter().map(|item| match item.as_str() {
                Some(text) => text.parse::<Network>().map_err(|error| refused(error.to_string())),
                None => Err(refused(format!("{item} is not a text such as \"10.0.0.0/8\""))),
            });
            parsed.collect()
        }
        Setting::Value(value) => Err(refused(format!("{value} is not a list such as [\"10.0.0.0/8\"]"))),
        Setting::Other(value) => Err(refused(format!("{value} is not a list such as [\"10.0.0.0/8\"]"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn settings(json: serde_json::Value) -> LegSettings {
        serde_json::from_value(json).expect("settings")
    }

    fn refused(json: serde_json::Value) -> String {
        Table::default().with(&settings(json)).expect_err("refused").to_string()
    }

    #[test]
    fn what_is_named_changes_and_the_rest_stays() {
        let given = serde_json::json!({"agent": {"rto_min_us": 40_000, "networks": ["10.0.0.0/8"]}});
        let base = Table::default();
        let table = base.with(&settings(given)).expect("taken");
        assert_eq!(table.profiles[0], Leg::Agent.profile().with(Feature::RtoMin, 40_000));
        assert_eq!(table.profiles[1..], base.profiles[1..]);
        assert_eq!(table.leg_of(Leg::Agent, [127, 0, 0, 1].into()), Leg::Local);
        assert_eq!(table.networks_of(Leg::Agent), ["10.0.0.0/8".parse().expect("a network")]);
        assert_eq!(table.reset(Some(Leg::Mesh), &base), table);
        assert_eq!(table.reset(Some(Leg::Agent), &base), base);
        assert_eq!(table.reset(None, &base), base);
    }

    #[test]
    fn the_longest_network_decides_and_a_mesh_port_stays_of_the_mesh() {
        let given = serde_json::json!({
            "mesh": {"networks": ["10.0.0.0/8"]}, "agent": {"networks": ["10.1.0.0/16"]}
        });
        let table = Table::default().with(&settings(given)).expect("taken");
        assert_eq!(table.leg_of(Leg::Agent, [10, 0, 0, 1].into()), Leg::Mesh);
        assert_eq!(table.leg_of(Leg::Agent, [10, 1, 0, 1].into()), Leg::Agent);
        assert_eq!(table.leg_of(Leg::Agent, [192, 0, 2, 1].into()), Leg::Agent);
        assert_eq!(table.leg_of(Leg::Mesh, [127, 0, 0, 1].into()), Leg::Mesh);
        // Five networks with the two of loopback and the port's own; both sides of a mesh port.
        assert_eq!(table.rules(&[(Leg::Agent, 1)]).len(), 5);
        assert_eq!(table.rules(&[(Leg::Mesh, 1)]).len(), 2);
    }

    #[test]
    fn settings_that_are_wrong_say_what_would_be_right() {
        for (given, said) in [
            (serde_json::json!({"agent": {"rto": 1}}), "expected one of nodelay, rto_min_us"),
            (
                serde_json::json!({"agent": {"rto_min_us": 300_000}}),
                "expected 0 (the kernel's own) or 1000 to",
            ),
            (serde_json::json!({"agent": {"rto_min_us": -1}}), "is -1; expected"),
            (serde_json::json!({"agent": {"nodelay": true}}), "is true; expected"),
            (serde_json::json!({"mesh": {"delack_max_us": 40_000}}), "expected at least as much"),
            (serde_json::json!({"local": {"networks": "10.0.0.0/8"}}), "is not a list"),
            (serde_json::json!({"local": {"networks": [1]}}), "is not a text"),
            (serde_json::json!({"local": {"networks": ["10.0.0.1/8"]}}), "expected 10.0.0.0/8"),
            (
                serde_json::json!({"local": {"networks": ["::/0"]}, "mesh": {"networks": ["::/0"]}}),
                "::/0 is on the mesh leg and on the local leg",
            ),
        ] {
            let error = refused(given.clone());
            assert!(error.contains(said), "{given}: {error}");
        }
        let many: Vec<_> = (0..=255).map(|n| format!("10.0.{n}.0/24")).collect();
        assert!(refused(serde_json::json!({"agent": {"networks": many}})).contains("at most 256"));
        assert!(serde_json::from_value::<LegSettings>(serde_json::json!({"lan": {}})).is_err());
    }

    proptest! {
        /// What the kernel does with the trie, done here over the same rules.
        #[test]
        fn the_rules_decide_as_the_table_does(
            networks in proptest::collection::vec((any::<[u8; 4]>(), 0_u8..=32, 0_usize..3), 0..12),
            peer: [u8; 4],
        ) {
            let mut table = Table::default();
            for (address, length, leg) in networks {
                let value = u32::from_be_bytes(address) & u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0);
                let text = format!("{}/{length}", std::net::Ipv4Addr::from(value));
                table.networks.insert(text.parse().expect("masked"), Leg::ALL[leg]);
            }
            let rules = table.rules(&[(Leg::Agent, 7443)]);
            let longest = rules
                .iter()
                .filter(|(rule, _)| rule.network.contains(peer.into()))
                .max_by_key(|(rule, _)| rule.bits());
            prop_assert_eq!(longest.map(|(_, leg)| *leg), Some(table.leg_of(Leg::Agent, peer.into())));
        }
    }
}
