//! What the probe said on one kernel, as features with their rungs.

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

/// How a feature did on one kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Feature {
    /// Its word, as in `waggle accel check`, or what was tried on a running gateway.
    pub(crate) name: String,
    /// `ebpf`, `native`, `generic`, `setsockopt`, `on`, `yes`, `off` or `no`.
    pub(crate) rung: String,
    pub(crate) reason: String,
}

/// A loaded program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Verified {
    /// Of its hook.
    pub(crate) hook: String,
    /// Instructions that the verifier looked at; 0 where the kernel does not tell.
    pub(crate) instructions: u64,
}

/// Everything that one kernel answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Answers {
    pub(crate) features: Vec<Feature>,
    pub(crate) programs: Vec<Verified>,
}

impl Answers {
    /// Reads the probe's lines.
    ///
    /// # Errors
    /// Where one is missing, or is not what the gateway answers.
    pub(crate) fn read(text: &str) -> Result<Answers> {
        let lines: Vec<(&str, &str)> =
            text.lines().filter_map(|line| line.trim_end().split_once(' ')).collect();
        let of = |name: &str| -> Result<Value> {
            let found = lines.iter().find(|(n, _)| *n == name).map(|(_, json)| *json);
            let json = found.with_context(|| format!("the probe did not come to `{name}`"))?;
            serde_json::from_str(json).with_context(|| format!("`{name}` is not JSON: {json}"))
        };
        ensure!(!of("ready")?.is_null(), "the gateway did not start");
        let mut features = checked(&of("check")?)?;
        features.push(verdicts(&of("verdicts")?));
        features.push(settings(&of("status")?)?);
        let connections = of("connections")?;
        features.push(leg(&of("legs")?, &connections));
        features.push(denied(&of("guard")?, &connections));
        ensure!(of("stopped")?["status"] == 0, "the gateway did not stop as it should");
        let mut programs = Vec::new();
        for (_, json) in lines.iter().filter(|(name, _)| *name == "program") {
            let program = serde_json::from_str(json).with_context(|| format!("not JSON: {json}"))?;
            let program = verified(&program);
            // A program may have several descriptors.
            if !programs.contains(&program) {
                programs.push(program);
            }
        }
        programs.sort_by(|a, b| a.hook.cmp(&b.hook));
        Ok(Answers { features, programs })
    }
}

/// The features that `waggle accel check` tried.
fn checked(check: &Value) -> Result<Vec<Feature>> {
    let features = check["features"].as_array().context("`waggle accel check` listed no features")?;
    let one = |feature: &Value| {
        let word = |name: &str| {
            let word = feature[name].as_str().map(str::to_owned);
            word.with_context(|| format!("a feature without {name}: {feature}"))
        };
        Ok(Feature { name: word("feature")?, rung: word("rung")?, reason: word("reason")? })
    };
    features.iter().map(one).collect()
}

fn verdicts(answer: &Value) -> Feature {
    let does = answer["failed"] == 0 && answer["skipped"] == 0;
    let reason = if does { "as on the host, over cut and changed packets" } else { "the test did not pass" };
    yes_or_no("guard's verdicts", does, reason.to_owned())
}

/// The lowest rung that a setting of a leg's profile stands on in a running gateway.
fn settings(status: &Value) -> Result<Feature> {
    let legs = status["legs"].as_array().context("`waggle accel status` listed no legs")?;
    let mut below: Vec<String> = Vec::new();
    for feature in legs.iter().filter_map(|leg| leg["features"].as_array()).flatten() {
        let (name, rung) = (feature["feature"].as_str(), feature["rung"].as_str());
        let (Some(name), Some(rung)) = (name, rung) else {
            bail!("a setting without name or rung: {feature}");
        };
        let line = format!("{name} {rung}");
        if rung != "ebpf" && !below.contains(&line) {
            below.push(line);
        }
    }
    let reason = if below.is_empty() {
        "every setting of every leg by eBPF".to_owned()
    } else {
        format!("all settings of all legs by eBPF but {}", below.join(", "))
    };
    Ok(yes_or_no("gateway: profiles", !legs.is_empty() && status["object"].is_string(), reason))
}

/// Whether the program saw and measured the connection that was made.
fn leg(legs: &Value, connections: &Value) -> Feature {
    let legs = legs["legs"].as_array();
    let local = legs.and_then(|legs| legs.iter().find(|leg| leg["leg"] == "local"));
    let counted = local.and_then(|leg| leg["connections"].as_u64()).unwrap_or(0);
    let cells = local.and_then(|leg| leg["round_trips"].as_array());
    let round_trips: u64 = cells.into_iter().flatten().filter_map(Value::as_u64).sum();
    let does = connections["answered"] == true && counted > 0 && round_trips > 0;
    let reason = if does {
        "an HTTP connection was counted and measured".to_owned()
    } else {
        format!("{counted} connections and {round_trips} round trips were counted")
    };
    yes_or_no("gateway: legs", does, reason)
}

/// Whether the guard kept the denied source out, and no other.
fn denied(guard: &Value, connections: &Value) -> Feature {
    let verdicts = guard["verdicts"].as_array().into_iter().flatten();
    let counted: u64 = verdicts.filter(|pair| pair[0] == "denied").filter_map(|pair| pair[1].as_u64()).sum();
    let does = connections["denied"] == false && connections["other"] == true && counted > 0;
    let reason = if does {
        "a denied source was not answered, another was".to_owned()
    } else {
        format!("{counted} packets of a denied source were dropped; {connections}")
    };
    yes_or_no("gateway: guard", does, reason)
}

fn yes_or_no(name: &str, does: bool, reason: String) -> Feature {
    Feature { name: name.to_owned(), rung: if does { "yes" } else { "no" }.to_owned(), reason }
}

fn verified(program: &Value) -> Verified {
    // The kernel's `bpf_prog_type`.
    let hook = match program["kind"].as_u64() {
        Some(6) => "xdp".to_owned(),
        Some(13) => "sock_ops".to_owned(),
        Some(16) => "sk_msg".to_owned(),
        other => format!("kind {}", other.unwrap_or(0)),
    };
    Verified { hook, instructions: program["verified"].as_u64().unwrap_or(0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &str = r#"check {"features":[{"feature":"legs","rung":"ebpf","best":"ebpf","reason":"seen"}]}
verdicts {"failed": 0, "skipped": 0}
ready {"ready":true}
connections {"answered": true, "denied": false, "other": true}
status {"object":"embedded","legs":[{"features":[{"feature":"nodelay","rung":"ebpf"},{"feature":"rto_max_ms","rung":"off"}]}]}
legs {"legs":[{"leg":"local","connections":2,"round_trips":[0,3]}]}
guard {"verdicts":[["other",1],["denied",2]]}
program {"kind": 13, "verified": 900}
program {"kind": 13, "verified": 900}
program {"kind": 6, "verified": 70}
stopped {"status": 0}
"#;

    fn rungs(text: &str) -> Vec<(String, String)> {
        Answers::read(text).unwrap().features.into_iter().map(|f| (f.name, f.rung)).collect()
    }

    #[test]
    fn a_whole_answer_has_a_rung_for_each_feature() {
        let expected = [
            ("legs", "ebpf"),
            ("guard's verdicts", "yes"),
            ("gateway: profiles", "yes"),
            ("gateway: legs", "yes"),
            ("gateway: guard", "yes"),
        ];
        assert_eq!(rungs(WHOLE), expected.map(|(name, rung)| (name.to_owned(), rung.to_owned())));
        let answers = Answers::read(WHOLE).unwrap();
        assert!(answers.features[2].reason.ends_with("but rto_max_ms off"));
        let program = |hook: &str, instructions| Verified { hook: hook.to_owned(), instructions };
        assert_eq!(answers.programs, [program("sock_ops", 900), program("xdp", 70)]);
    }

    #[test]
    fn what_did_not_work_is_a_no() {
        for (from, to, name) in [
            ("\"failed\": 0", "\"failed\": 1", "guard's verdicts"),
            ("\"skipped\": 0", "\"skipped\": 3", "guard's verdicts"),
            ("\"embedded\"", "null", "gateway: profiles"),
            ("[0,3]", "[0,0]", "gateway: legs"),
            ("\"denied\": false", "\"denied\": true", "gateway: guard"),
            ("[\"denied\",2]", "[\"denied\",0]", "gateway: guard"),
        ] {
            let rungs = rungs(&WHOLE.replace(from, to));
            let no: Vec<_> = rungs.iter().filter(|(_, rung)| rung == "no").map(|(n, _)| n).collect();
            assert_eq!(no, [name], "{to}");
        }
    }

    #[test]
    fn an_answer_that_breaks_off_says_where() {
        for line in WHOLE.lines().map(|line| line.split(' ').next().unwrap()).filter(|n| *n != "program") {
            let cut: String =
                WHOLE.lines().filter(|l| !l.starts_with(line)).map(|l| format!("{l}\n")).collect();
            let error = Answers::read(&cut).unwrap_err().to_string();
            assert!(error.contains(line), "{error}");
        }
        assert!(Answers::read(&WHOLE.replace("ready {\"ready\":true}", "ready null")).is_err());
    }
}
