//! Profiles and legs, tried on connections over loopback.

use std::ops::RangeInclusive;
use std::os::fd::AsFd as _;

use waggle_ebpf::{Account, Counter, Feature, Leg, Profile, Side};

use super::{CheckConfig, FeatureCheck, advice};
use crate::ebpf::Attached;
use crate::error::chain;
use crate::ladder::{by_setsockopt, read_feature};
use crate::network::Network;
use crate::plan::Rule;
use crate::probe::{Pair, Probe};
use crate::rung::choose;
use crate::status::{ReadBack, Rung};
use crate::{AccelConfig, Mode, self_test, sockopt};

/// Round trips made to be measured.
const ROUND_TRIPS: u32 = 20;

/// Each setting of a profile, and the legs.
pub(super) fn features(config: &CheckConfig) -> Vec<FeatureCheck> {
    let accel = AccelConfig { cgroup: config.cgroup.clone(), ..AccelConfig::default() };
    match Attached::start(&accel) {
        Ok(mut attached) => {
            let mut features = attached_profiles(&mut attached);
            features.push(legs(&mut attached));
            features
        }
        Err(error) => {
            let (reason, change) = (chain(&error), advice::after(&error));
            let mut features = profiles(Feature::ALL.map(|_| Err(reason.clone())), None, Some(change));
            features.push(legs_off(reason, change));
            features
        }
    }
}

/// A profile that asks for everything.
fn full() -> Profile {
    let mesh = Leg::Mesh.profile();
    Profile { values: Feature::ALL.map(|feature| mesh.wanted(feature).unwrap_or(feature.sample())) }
}

fn attached_profiles(attached: &mut Attached) -> Vec<FeatureCheck> {
    let tried = self_test::run(attached, &full());
    let treated = self_test::connection(Some(attached), full()).ok();
    profiles(tried, treated, None)
}

fn profiles(
    tried: [Result<String, String>; Feature::ALL.len()],
    treated: Option<Pair>,
    change: Option<&str>,
) -> Vec<FeatureCheck> {
    let untouched = self_test::connection(None, Profile::NONE).ok();
    let treated = treated.or_else(|| self_test::connection(None, Profile::NONE).ok());
    let one = |(feature, tried)| profile(feature, tried, untouched.as_ref(), treated.as_ref(), change);
    Feature::ALL.into_iter().zip(tried).map(one).collect()
}

fn profile(
    feature: Feature,
    tried: Result<String, String>,
    untouched: Option<&Pair>,
    treated: Option<&Pair>,
    change: Option<&str>,
) -> FeatureCheck {
    let choice = choose(Mode::Auto, tried, by_setsockopt(feature));
    let wanted = full().values[feature as usize];
    if let (Rung::Setsockopt, Some(pair)) = (choice.rung, treated) {
        // What it did is read back below.
        let _ = sockopt::apply(pair.accepted.as_fd(), feature, wanted);
    }
    let (rung, seen) = match (choice.rung, treated.zip(untouched)) {
        (Rung::Off, _) => (Rung::Off, String::new()),
        (rung, None) => (rung, "; not read back, for loopback does not answer".to_owned()),
        (rung, Some((treated, untouched))) => {
            let read = |pair: &Pair| read_feature(pair.accepted.as_fd(), feature);
            match (read(treated), read(untouched)) {
                (ReadBack::Value { value }, ReadBack::Value { value: before }) => {
                    let holds = expected(feature, wanted).contains(&value);
                    let seen = format!("; asked for {wanted}, a connection has {value} ({before} without)");
                    (if holds { rung } else { Rung::Off }, seen)
                }
                _ => (rung, "; not read back, for this kernel does not tell the value".to_owned()),
            }
        }
    };
    let is_best = rung == Rung::Ebpf && treated.is_some();
    let newer = sockopt::is_unknown(feature).then_some("run Linux 6.15 or newer");
    let answers = treated.is_none().then_some(advice::LOOPBACK);
    FeatureCheck {
        feature: format!("profiles.{}", feature.name()),
        rung: rung.name().to_owned(),
        best: Rung::Ebpf.name().to_owned(),
        reason: format!("{}{seen}", choice.reason),
        change: change.or(answers).or(newer).filter(|_| !is_best).map(str::to_owned),
    }
}

/// What the kernel may make of a value: times are whole jiffies, and at least two of them; one is 10 ms
/// at most.
fn expected(feature: Feature, wanted: u32) -> RangeInclusive<u32> {
    match feature {
        Feature::RtoMin | Feature::DelackMax => wanted..=wanted + 20_000,
        Feature::RtoMax => wanted..=wanted + 20,
        _ => wanted..=wanted,
    }
}

fn legs(attached: &mut Attached) -> FeatureCheck {
    let measured = measured(attached);
    let (rung, reason, change) = match measured {
        Ok((round_trips, _)) if round_trips > 0 => {
            ("ebpf", format!("{ROUND_TRIPS} exchanges gave {round_trips} round trips"), None)
        }
        Ok((_, connections)) => {
            let reason =
                format!("{connections} connections were seen, and no round trip of {ROUND_TRIPS} exchanges");
            ("off", reason, Some("run Linux 5.10 or newer"))
        }
        Err(error) => ("off", format!("not tried: {error}"), Some(advice::LOOPBACK)),
    };
    FeatureCheck {
        feature: "legs".to_owned(),
        rung: rung.to_owned(),
        best: "ebpf".to_owned(),
        reason,
        change: change.map(str::to_owned),
    }
}

/// Round trips and connections that the program counted on a connection made for it.
fn measured(attached: &mut Attached) -> std::io::Result<(u64, u64)> {
    let probe = Probe::listen()?;
    let account = Account::Leg(Leg::Local);
    let rule = Rule::new(Side::Local, probe.port(), Network::ALL);
    attached.put_rule(rule, account).map_err(std::io::Error::other)?;
    let exchanged = probe.connect().and_then(|mut pair| pair.exchange(ROUND_TRIPS));
    attached.remove_rule(rule).map_err(std::io::Error::other)?;
    exchanged?;
    let round_trips = attached.round_trips(account).unwrap_or_default().iter().sum();
    Ok((round_trips, attached.counter(Counter::Connections(account)).unwrap_or(0)))
}

fn legs_off(reason: String, change: &str) -> FeatureCheck {
    FeatureCheck {
        feature: "legs".to_owned(),
        rung: "off".to_owned(),
        best: "ebpf".to_owned(),
        reason: format!("no eBPF: {reason}"),
        change: Some(change.to_owned()),
    }
}
