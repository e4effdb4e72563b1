//! The lifecycle that every tenant has from the start.

use super::{DefaultsSpec, EdgeSpec, LifecycleSpec, StatusSpec};

const STATUSES: [&str; 6] = ["new", "open", "pending", "on_hold", "solved", "closed"];

const EDGES: [(&str, &[&str]); 5] = [
    ("new", &["open", "pending", "on_hold", "solved"]),
    ("open", &["pending", "on_hold", "solved"]),
    ("pending", &["open", "on_hold", "solved"]),
    ("on_hold", &["open", "pending", "solved"]),
    ("solved", &["open", "closed"]),
];

impl LifecycleSpec {
    /// Common helpdesk practice, as in Zendesk's and Request Tracker's documentation: nothing returns to
    /// new, closed is final, everything else may move between the working statuses. A status for each category.
    #[must_use]
    pub fn built_in() -> Self {
        let status = |name: &str| StatusSpec { name: name.to_owned(), category: name.to_owned() };
        let edge = |from: &str, to: &str| EdgeSpec {
            from: from.to_owned(),
            to: to.to_owned(),
            right: None,
            guard: None,
        };
        let edges = EDGES.iter().flat_map(|(from, to)| to.iter().map(move |to| edge(from, to)));
        Self {
            statuses: STATUSES.into_iter().map(status).collect(),
            edges: edges.collect(),
            defaults: DefaultsSpec {
                initial: Some("new".to_owned()),
                taken: Some("open".to_owned()),
                message: Some("open".to_owned()),
                reopen: Some("open".to_owned()),
                reply: None,
            },
            from: std::collections::BTreeMap::new(),
        }
    }
}
