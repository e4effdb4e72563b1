//! Does the attached program do what it is there for? Asked of a real connection of this process.

use std::io;

use waggle_ebpf::{Account, Counter, Feature, Profile, Side};

use super::ebpf::Attached;
use super::network::Network;
use super::plan::Rule;
use super::probe::{Pair, Probe};

/// A loopback connection that the program, if there is one, gives this profile.
pub(super) fn connection(attached: Option<&mut Attached>, profile: Profile) -> io::Result<Pair> {
    let probe = Probe::listen()?;
    let Some(attached) = attached else {
        return probe.connect();
    };
    attached.put_profile(Account::Probe, profile).map_err(io::Error::other)?;
    let rule = Rule::new(Side::Local, probe.port(), Network::ALL);
    attached.put_rule(rule, Account::Probe).map_err(io::Error::other)?;
    let pair = probe.connect();
    attached.remove_rule(rule).map_err(io::Error::other)?;
    pair
}

/// For each feature, in the order of [`Feature::ALL`], whether the program sets it on a real connection of
/// this process: by the program's own count, so that it holds on kernels whose `getsockopt` does not know
/// the option.
///
/// What the leg's profile leaves alone is tried with a sample: the profile may ask for it later.
pub(super) fn run(
    attached: &mut Attached,
    profile: &Profile,
) -> [Result<String, String>; Feature::ALL.len()] {
    let full =
        Profile { values: Feature::ALL.map(|feature| profile.wanted(feature).unwrap_or(feature.sample())) };
    let before = Feature::ALL.map(|feature| probe_counts(attached, feature));
    let tried = connection(Some(attached), full);
    Feature::ALL.map(|feature| {
        let after = probe_counts(attached, feature);
        // In bounds: a feature's number is its place in `ALL`.
        let before = before[feature as usize];
        match &tried {
            Err(error) => Ok(format!("sock_ops program, not self-tested: {error}")),
            Ok(_) if after.applied > before.applied => Ok("sock_ops program".to_owned()),
            Ok(_) if after.raised > before.raised => {
                Ok("sock_ops program; below the kernel's floor of 2 jiffies, so raised".to_owned())
            }
            Ok(_) if after.refused > before.refused => {
                Err("the kernel refuses the option to the sock_ops program".to_owned())
            }
            Ok(_) => Err("the sock_ops program does not see this process's connections".to_owned()),
        }
    })
}

#[derive(Clone, Copy)]
struct Counts {
    applied: u64,
    raised: u64,
    refused: u64,
}

fn probe_counts(attached: &Attached, feature: Feature) -> Counts {
    let count = |counter| attached.counter(counter).unwrap_or(0);
    Counts {
        applied: count(Counter::Applied(Account::Probe, feature)),
        raised: count(Counter::Raised(Account::Probe, feature)),
        refused: count(Counter::Refused(Account::Probe, feature)),
    }
}
