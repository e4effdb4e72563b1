//! Pairs of windows, one with suggestions and one without, side by side: is other traffic slower for them?

use std::fmt::Write as _;

use crate::measure::Latencies;
use crate::result::{Figures, Run};

/// How sure an interval of a median has to be, where there are pairs enough for it.
const CERTAINTY: f64 = 0.95;
/// Figures of a pair that the difference is of.
const ON: &str = "others_on_p99_us";
const OFF: &str = "others_off_p99_us";
const DIFFERENCE: &str = "others_p99_difference_us";

/// Adds to a pair's figures what both of its windows say together.
pub(super) fn compare(run: &mut Run) {
    let both = run.figures.get(ON).zip(run.figures.get(OFF));
    let difference = both.map(|(on, off)| on - off);
    run.add(DIFFERENCE, difference);
}

/// What all pairs say: the spread of each arm, an interval for the median of differences, and all samples together.
pub(super) fn summarise(runs: &[Run], pooled: &[Latencies; 2], median: &mut Figures) {
    let values =
        |name: &str| runs.iter().filter_map(|run| run.figures.get(name).copied()).collect::<Vec<_>>();
    for (figure, arm) in [(ON, "others_on_p99"), (OFF, "others_off_p99")] {
        let values = values(figure);
        if let (Some(low), Some(high)) =
            (values.iter().copied().reduce(f64::min), values.iter().copied().reduce(f64::max))
        {
            median.insert(format!("{arm}_low_us"), low);
            median.insert(format!("{arm}_high_us"), high);
        }
    }
    if let Some((low, high, certainty)) = interval(values(DIFFERENCE)) {
        median.insert("others_p99_difference_low_us".into(), low);
        median.insert("others_p99_difference_high_us".into(), high);
        median.insert("others_p99_difference_certainty_percent".into(), certainty * 100.0);
    }
    for (latencies, arm) in pooled.iter().zip(["on", "off"]) {
        median.insert(format!("pooled_{arm}_samples"), latencies.len() as f64);
        median.insert(format!("pooled_{arm}_p99_us"), latencies.value_at_quantile(0.99) as f64 / 1e3);
    }
}

/// Two of the values that the median of all that could have been measured lies between, and how sure that is: the
/// narrowest of at least [`CERTAINTY`], or the lowest and the highest. Each value is below that median with a chance of
/// one half, whatever their distribution, so the count of those below it is binomial (the sign test, turned round).
fn interval(mut values: Vec<f64>) -> Option<(f64, f64, f64)> {
    values.sort_by(f64::total_cmp);
    let count = values.len();
    // Of at most `outer` values below the median.
    let mut chance = 0.5_f64.powi(i32::try_from(count).ok()?);
    let mut tail = 0.0;
    let mut found = None;
    for outer in 0..count.div_ceil(2) {
        tail += chance;
        let certainty = 1.0 - 2.0 * tail;
        if outer > 0 && certainty < CERTAINTY {
            break;
        }
        found = Some((*values.get(outer)?, *values.get(count - 1 - outer)?, certainty.max(0.0)));
        chance *= (count - outer) as f64 / (outer + 1) as f64;
    }
    found
}

/// The same in words; empty where something is missing.
pub(super) fn verdict(median: &Figures, pairs: usize) -> String {
    words(median, pairs).unwrap_or_default()
}

fn words(median: &Figures, pairs: usize) -> Option<String> {
    let ms = |name: &str| median.get(name).map(|us| us / 1e3);
    let mut text = String::new();
    for (arm, with) in [("on", "with"), ("off", "without")] {
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "push p99 of other traffic {with} suggestions: {:.2} ms (median of {pairs} windows; from {:.2} to {:.2}); \
             of all {:.0} samples together {:.2} ms",
            ms(&format!("others_{arm}_p99_us"))?,
            ms(&format!("others_{arm}_p99_low_us"))?,
            ms(&format!("others_{arm}_p99_high_us"))?,
            median.get(&format!("pooled_{arm}_samples"))?,
            ms(&format!("pooled_{arm}_p99_us"))?,
        );
    }
    let (low, high) = (ms("others_p99_difference_low_us")?, ms("others_p99_difference_high_us")?);
    let certainty = median.get("others_p99_difference_certainty_percent")?;
    let meaning = match (low > 0.0, high < 0.0) {
        _ if *certainty < 100.0 * CERTAINTY => "too few pairs to say",
        (true, _) => "other traffic is slower with suggestions",
        (_, true) => "other traffic is faster with suggestions",
        _ => "no difference is to be seen",
    };
    let _ = writeln!(
        text,
        "with less without, in each pair: median {:+.2} ms; it lies between {low:+.2} and {high:+.2} ms with a certainty \
         of {:.1} %: {meaning}",
        ms(DIFFERENCE)?,
        certainty,
    );
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::latencies;
    use crate::result::medians;

    #[test]
    fn intervals_are_those_of_the_sign_test() {
        let values = |count: usize| (0..count).map(|n| n as f64).collect::<Vec<_>>();
        // Tables of the sign test: of ten, the second and the last but one; of twenty, the sixth.
        let (low, high, certainty) = interval(values(10)).unwrap();
        assert_eq!((low, high), (1.0, 8.0));
        assert!((certainty - 0.978_5).abs() < 1e-4, "{certainty}");
        let (low, high, certainty) = interval(values(20)).unwrap();
        assert_eq!((low, high), (5.0, 14.0));
        assert!((certainty - 0.958_6).abs() < 1e-4, "{certainty}");
        // Too few for 95 %: all there is, and how sure that is.
        let (low, high, certainty) = interval(vec![3.0, -1.0, 2.0]).unwrap();
        assert_eq!((low, high, certainty), (-1.0, 3.0, 0.75));
        assert_eq!(interval(vec![2.0]), Some((2.0, 2.0, 0.0)));
        assert_eq!(interval(Vec::new()), None);
    }

    #[test]
    fn pairs_are_told_in_words() {
        let pair = |on: f64, off: f64| {
            let mut run = Run::default();
            run.add(ON, Some(on));
            run.add(OFF, Some(off));
            compare(&mut run);
            run
        };
        let told = |pairs: &[(f64, f64)]| {
            let runs: Vec<Run> = pairs.iter().map(|(on, off)| pair(*on, *off)).collect();
            let mut median = medians(&runs);
            summarise(&runs, &[latencies(), latencies()], &mut median);
            verdict(&median, runs.len())
        };
        let even = [(2e3, 3e3), (3e3, 2e3), (2e3, 2e3), (4e3, 2e3), (2e3, 4e3), (3e3, 3e3)];
        assert!(told(&even).ends_with("no difference is to be seen\n"), "{}", told(&even));
        let slower = [(3e3, 2e3); 6];
        assert!(told(&slower).contains("median +1.00 ms"), "{}", told(&slower));
        assert!(told(&slower).ends_with("slower with suggestions\n"), "{}", told(&slower));
        assert!(told(&slower[..5]).ends_with("too few pairs to say\n"), "{}", told(&slower[..5]));
        assert_eq!(verdict(&Figures::new(), 0), "");
    }
}
