//! The choice of a rung: a pure function of what each rung said.

use super::Mode;
use super::status::Rung;

/// Which rung a feature stands on, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Choice {
    pub(super) rung: Rung,
    pub(super) reason: String,
}

/// Chooses the highest rung that works. `ebpf` and `setsockopt` hold why their rung does, or does not.
pub(super) fn choose(mode: Mode, ebpf: Result<String, String>, setsockopt: Result<(), String>) -> Choice {
    if mode == Mode::Off {
        return Choice { rung: Rung::Off, reason: "switched off".to_owned() };
    }
    match (ebpf, setsockopt) {
        (Ok(reason), _) => Choice { rung: Rung::Ebpf, reason },
        (Err(ebpf), Ok(())) => Choice { rung: Rung::Setsockopt, reason: format!("no eBPF: {ebpf}") },
        (Err(ebpf), Err(setsockopt)) => {
            Choice { rung: Rung::Off, reason: format!("no eBPF: {ebpf}; no setsockopt: {setsockopt}") }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_rung_that_works_is_taken_and_the_others_are_explained() {
        let yes = || Ok("attached".to_owned());
        let no = || Err("missing capability CAP_BPF".to_owned());
        let refused = || Err("too old".to_owned());
        let vectors = [
            (Mode::Auto, yes(), Ok(()), Rung::Ebpf, "attached"),
            (Mode::Auto, yes(), refused(), Rung::Ebpf, "attached"),
            (Mode::Auto, no(), Ok(()), Rung::Setsockopt, "no eBPF: missing capability CAP_BPF"),
            (
                Mode::Auto,
                no(),
                refused(),
                Rung::Off,
                "no eBPF: missing capability CAP_BPF; no setsockopt: too old",
            ),
            (Mode::Off, yes(), Ok(()), Rung::Off, "switched off"),
            (Mode::Require, yes(), Ok(()), Rung::Ebpf, "attached"),
        ];
        for (mode, ebpf, setsockopt, rung, reason) in vectors {
            let choice = choose(mode, ebpf, setsockopt);
            assert_eq!((choice.rung, choice.reason.as_str()), (rung, reason));
        }
    }
}
