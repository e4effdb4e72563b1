//! What a running gateway is told: by its control socket, and by a configuration that has changed.

use std::path::Path;
use std::process::Command;

use serde_json::Value;
use waggle_gateway::accel::ReadBack;

use crate::gateway::{Gateway, Starting};
use crate::laboratory::{CLIENT, Laboratory};
use crate::skipped;

const ADDRESSES: [&str; 4] = ["--api", "0.0.0.0:8080", "--push", "0.0.0.0:8081"];

/// The agent leg's smallest retransmission timeout: what is asked for, and what a new connection has.
fn rto_min(gateway: &Gateway) -> (u32, ReadBack) {
    let status = gateway.status();
    let found = status.legs[0].features.iter().find(|feature| feature.feature == "rto_min_us").unwrap();
    (found.wanted, found.read_back.clone())
}

#[test]
fn a_changed_configuration_changes_profiles_and_a_bad_one_changes_nothing() {
    if skipped("a_changed_configuration_changes_profiles_and_a_bad_one_changes_nothing") {
        return;
    }
    let laboratory = Laboratory::make();
    let lines = |rto_min_us: u32| format!("[accel.legs.agent]\nrto_min_us = {rto_min_us}\n");
    let gateway = laboratory.start_with("data", &lines(60_000), &ADDRESSES).outcome().unwrap();
    let with = |wanted: u32| {
        let (asked, read_back) = rto_min(&gateway);
        let is_so = matches!(read_back, ReadBack::Unreadable { .. })
            || read_back == ReadBack::Value { value: wanted };
        assert!(asked == wanted && is_so, "{asked} {read_back:?}");
    };
    with(60_000);
    laboratory.configure("data", &lines(40_000));
    gateway.hang_up();
    gateway.wait_log("are taken for connections to come", 1);
    with(40_000);

    for (bad, said) in
        [("[accel.legs.agent]\nrto_min_us = 1\n", "expected 0"), ("nonsense = 1\n", "nonsense")]
    {
        laboratory.configure("data", bad);
        gateway.hang_up();
        gateway.wait_log(said, 1);
        with(40_000);
    }
    laboratory.configure("data", "rate_per_second = 7\n");
    gateway.hang_up();
    gateway.wait_log("accel.guard.rate_per_second", 1);
    assert_eq!(rto_min(&gateway).0, 50_000, "what is not named is the default");
    let log = gateway.stop();
    let refused =
        ["profiles are not taken; the old ones stay", "configuration is not taken; the old one stays"];
    assert!(refused.iter().all(|line| log.matches(line).count() == 1), "{log}");
    assert!(log.contains("take effect at the next start"), "{log}");
}

/// The commands that the documentation has, and what they bring about.
#[test]
fn the_control_socket_takes_what_is_documented() {
    if skipped("the_control_socket_takes_what_is_documented") {
        return;
    }
    if Command::new("curl").arg("-V").output().is_err() {
        return crate::skip("the_control_socket_takes_what_is_documented", "needs `curl`");
    }
    let laboratory = Laboratory::make();
    let gateway = laboratory.gateway("data");
    gateway.change("deny", CLIENT, 0);
    assert!(!laboratory.connects());
    let text = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/OPERATIONS.md");
    let text = std::fs::read_to_string(text).unwrap();
    let section = text.split_once("\n## The control socket\n").unwrap().1;
    let script = section.split_once("```sh\n").unwrap().1.split_once("```").unwrap().0;
    let script = script.replace("waggle-data", laboratory.data("data").to_str().unwrap());
    assert_eq!(script.matches("curl -fsS").count(), 6, "{script}");
    let said = laboratory.sh(&script);
    let answers: Vec<Value> =
        serde_json::Deserializer::from_str(&said).into_iter().collect::<Result<_, _>>().expect(&said);
    assert_eq!(answers.len(), 6, "{said}");
    let guard = gateway.guard();
    let rules: Vec<_> = guard.rules.iter().map(|rule| rule.network.to_string()).collect();
    assert!(guard.probation_s.is_none() && rules.contains(&"198.51.100.0/24".to_owned()), "{guard}");
    assert_eq!(rto_min(&gateway).0, 40_000);

    let metrics = laboratory.sh("curl -fsS http://127.0.0.1:8080/metrics");
    for line in ["waggle_guard_rules{action=\"deny\"} 2", "waggle_guard_rules{action=\"allow\"} 0"] {
        assert!(metrics.contains(line), "{metrics}");
    }
    let denied =
        metrics.lines().find_map(|line| line.strip_prefix("waggle_guard_packets_total{verdict=\"denied\"} "));
    assert!(denied.is_some_and(|count| count.parse::<u64>().unwrap() > 0), "{metrics}");
    gateway.stop();
}

/// What the guard denies by itself: who guesses tokens, and neither who shows none nor a trusted proxy.
#[test]
fn guesses_are_denied_but_not_a_trusted_proxys() {
    if skipped("guesses_are_denied_but_not_a_trusted_proxys") {
        return;
    }
    let laboratory = Laboratory::make();
    let trusted = format!("[\"{CLIENT}\"]");
    for (proxies, is_denied) in [(trusted.as_str(), false), ("[]", true)] {
        let config = laboratory.configure("data", "failures = 3\n");
        let text = std::fs::read_to_string(&config).unwrap();
        std::fs::write(&config, format!("push_trusted_proxies = {proxies}\n{text}")).unwrap();
        let arguments = [&["--config", config.to_str().unwrap()], &ADDRESSES[..]].concat();
        let gateway =
            Starting::run(laboratory.command(), &laboratory.data("data"), &arguments).outcome().unwrap();
        let nobodys = format!("authorization: Bearer wgl_{}\r\n", "A".repeat(43));
        for headers in
            [""; 5].into_iter().chain(["authorization: Bearer wgl_short\r\n"; 5]).chain([nobodys.as_str(); 3])
        {
            assert!(laboratory.ask(headers).starts_with("HTTP/1.1 401 "), "{headers}");
        }
        let denied: Vec<_> = gateway.guard().rules.iter().map(|rule| rule.network.to_string()).collect();
        assert_eq!(denied, if is_denied { vec![CLIENT.to_owned()] } else { Vec::new() });
        gateway.stop();
    }
}

/// A client that knocks while the gateway starts gets the profile, too: a connection keeps what it begins with.
#[test]
fn the_first_connection_to_the_api_has_the_profile() {
    if skipped("the_first_connection_to_the_api_has_the_profile") {
        return;
    }
    let laboratory = Laboratory::make();
    let siege = laboratory.besiege();
    siege.wait(1);
    // The client tries the port that is the API's here.
    let addresses = ["--api", "0.0.0.0:8081", "--push", "0.0.0.0:8080"];
    let gateway = laboratory.start_with("data", "rate_per_second = 0\n", &addresses).outcome().unwrap();
    siege.wait(5);
    let (successes, tries) = siege.end();
    let status = gateway.status();
    assert!(successes > 0 && tries > successes, "{successes} of {tries}");
    assert!(status.legs[0].connections >= u64::from(successes), "{successes}: {status}");
    gateway.stop();
}
