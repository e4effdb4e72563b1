//! How to take changes back: what was said before, of each network that they touched.

use std::collections::BTreeMap;

use super::rules::{Entry, Rules};
use crate::network::Network;

/// One network, and what was said of it before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) is_allow: bool,
    pub(super) network: Network,
    /// `None` where nothing was.
    pub(super) entry: Option<Entry>,
}

/// The steps back from `after` to `before`.
pub(super) fn steps(before: &Rules, after: &Rules) -> Vec<Step> {
    let mut steps = differing(true, &before.allow, &after.allow);
    steps.extend(differing(false, &before.deny, &after.deny));
    steps
}

fn differing(
    is_allow: bool,
    before: &BTreeMap<Network, Entry>,
    after: &BTreeMap<Network, Entry>,
) -> Vec<Step> {
    let changed = before.iter().filter(|(network, entry)| after.get(network) != Some(entry));
    let changed = changed.map(|(network, entry)| (network, Some(*entry)));
    let new = after.keys().filter(|network| !before.contains_key(network)).map(|network| (network, None));
    changed.chain(new).map(|(network, entry)| Step { is_allow, network: *network, entry }).collect()
}

/// Of `new` steps those about networks of which none of `steps` is: the first one leads back all the way.
pub(super) fn beyond(steps: &[Step], mut new: Vec<Step>) -> Vec<Step> {
    let of = |step: &Step| (step.is_allow, step.network);
    new.retain(|step| !steps.iter().any(|first| of(first) == of(step)));
    new
}

/// `rules` after all steps back.
pub(super) fn taken_back(rules: &Rules, steps: &[Step]) -> Rules {
    let mut rules = rules.clone();
    for step in steps {
        let entries = if step.is_allow { &mut rules.allow } else { &mut rules.deny };
        match step.entry {
            Some(entry) => entries.insert(step.network, entry),
            None => entries.remove(&step.network),
        };
    }
    rules
}

#[cfg(test)]
mod tests {
    use super::super::rules::Said;
    use super::*;

    #[test]
    fn steps_lead_back_from_any_change() {
        let rules = |allow: &[(&str, u64)], deny: &[(&str, u64)]| {
            let entries = |list: &[(&str, u64)]| {
                let entry = |until_ns| Entry { until_ns, said: Said::Operator };
                let one = |(text, until_ns): &(&str, u64)| (text.parse().expect(text), entry(*until_ns));
                list.iter().map(one).collect()
            };
            Rules { allow: entries(allow), deny: entries(deny) }
        };
        let all = [
            rules(&[], &[]),
            rules(&[("192.0.2.1", 0)], &[("198.51.100.0/24", 0)]),
            rules(&[("192.0.2.1", 7), ("2001:db8::/32", 0)], &[]),
            rules(&[], &[("198.51.100.0/24", 9), ("192.0.2.1", 0)]),
        ];
        for before in &all {
            for after in &all {
                let back = steps(before, after);
                assert_eq!(&taken_back(after, &back), before);
                assert_eq!(back.is_empty(), before == after);
                for last in &all {
                    let later = beyond(&back, steps(after, last));
                    assert_eq!(&taken_back(last, &[back.clone(), later].concat()), before);
                }
            }
        }
    }
}
