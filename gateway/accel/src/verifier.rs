//! The kernel's verdict on a program that it did not load, for people.
//!
//! The verifier's log has a line for every instruction on every path that it walked. What matters is at
//! its end: the verdict, and the instructions that led to it.

use aya::programs::ProgramError;

use super::Unavailable;
use super::ebpf::load_error;

/// Instructions before the verdict that are shown.
const INSTRUCTIONS_SHOWN: usize = 5;
/// The longest line that is shown whole.
const LINE_CHARS_MAX: usize = 160;

/// What kept `program` from being loaded: the end of the verifier's log where it said something.
pub(super) fn refused(program: &'static str, error: ProgramError) -> Unavailable {
    let ProgramError::LoadError { io_error, verifier_log } = error else {
        return load_error(error);
    };
    let log = verifier_log.to_string();
    let verdict = verdict(&log).map(shortened).unwrap_or_default();
    let instructions = last_instructions(&log).join("; ");
    Unavailable::Refused { program, verdict, instructions, source: io_error }
}

/// The last line that is neither an instruction, nor a state of registers, nor a statistic.
fn verdict(log: &str) -> Option<&str> {
    const STATISTICS: [&str; 4] = ["processed ", "verification time", "stack depth", "max_states"];
    let is_statistic = |line: &str| STATISTICS.iter().any(|start| line.starts_with(start));
    let is_verdict = |line: &&str| {
        !line.is_empty() && !line.starts_with([';', '-']) && numbered(line).is_none() && !is_statistic(line)
    };
    log.lines().rev().map(str::trim).find(is_verdict)
}

fn last_instructions(log: &str) -> Vec<String> {
    let instruction = |line: &str| {
        let rest = numbered(line)?;
        // A state of registers has a number, too, and no code; it also comes after an instruction.
        rest.starts_with('(').then(|| without_state(line).trim().to_owned())
    };
    let mut last: Vec<_> =
        log.lines().rev().filter_map(|line| instruction(line.trim())).take(INSTRUCTIONS_SHOWN).collect();
    last.reverse();
    last.iter().map(|line| shortened(line)).collect()
}

fn without_state(line: &str) -> &str {
    let ends = [line.find(" ; "), line.find(": R").and_then(|colon| line[..colon].rfind(' '))];
    ends.into_iter().flatten().min().map_or(line, |end| &line[..end])
}

/// What follows `12: `, the number of an instruction.
fn numbered(line: &str) -> Option<&str> {
    let (number, rest) = line.split_once(": ")?;
    (!number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())).then_some(rest)
}

fn shortened(line: &str) -> String {
    match line.char_indices().nth(LINE_CHARS_MAX) {
        Some((end, _)) => format!("{}...", &line[..end]),
        None => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "func#0 @0\n\
        0: R1=ctx() R10=fp0\n\
        ; match field!(ctx, op) { @ profiles.rs:75\n\
        0: (bf) r6 = r1                       ; R1=ctx() R6_w=ctx()\n\
        1: (15) if r4 == 0x86dd goto pc+1 3: R1=ctx() R4=0x86dd\n\
        3: (61) r2 = *(u32 *)(r6 +4096)\n\
        invalid bpf_context access off=4096 size=4\n\
        processed 2 insns (limit 1000000) max_states_per_insn 0 total_states 0 peak_states 0 mark_read 0\n";

    #[test]
    fn the_end_of_the_log_is_told() {
        assert_eq!(verdict(LOG), Some("invalid bpf_context access off=4096 size=4"));
        let instructions =
            ["0: (bf) r6 = r1", "1: (15) if r4 == 0x86dd goto pc+1", "3: (61) r2 = *(u32 *)(r6 +4096)"];
        assert_eq!(last_instructions(LOG), instructions);
        assert_eq!((verdict(""), last_instructions("").len()), (None, 0));
    }

    #[test]
    fn a_long_log_stays_short() {
        let mut log = "7: (bf) r1 = r2\n".repeat(10_000);
        log.push_str(&"R1 is wrong ".repeat(100));
        assert_eq!(last_instructions(&log).len(), INSTRUCTIONS_SHOWN);
        assert_eq!(shortened(verdict(&log).expect("there is one")).len(), LINE_CHARS_MAX + 3);
    }
}
