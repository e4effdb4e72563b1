//! What each agent may do, worked out when the directory is read: asking takes no lock and allocates nothing.

use std::sync::Arc;

use rustc_hash::FxHashMap;
use waggle_core::id::{AgentId, QueueId, RoleId, TeamId};
use waggle_core::right::{QueueSet, Right, Rights};

use crate::store::{Grantee, PeopleRows, QueueRow};

/// What an agent may do by its roles, whatever its token allows. Agents with the same roles share one.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Standing {
    /// In all queues, those made later included.
    pub(super) everywhere: Rights,
    /// In at least one queue, or in all.
    pub(super) somewhere: Rights,
    /// In each queue, by its number.
    by_queue: Box<[Rights]>,
    /// The queues that it may see.
    pub(super) sees: QueueSet,
}

/// One role, as far as it counts here.
type Given = (Option<QueueId>, Rights);

impl Standing {
    /// In this queue; none in one that there is not.
    pub(super) fn in_queue(&self, queue: QueueId) -> Rights {
        self.by_queue.get(queue.0 as usize).copied().unwrap_or_default()
    }

    fn new(given: &[Given], queues: &[QueueRow]) -> Self {
        let everywhere = given
            .iter()
            .filter(|(queue, _)| queue.is_none())
            .fold(Rights::NONE, |all, (_, rights)| all.or(*rights));
        let length = queues.iter().map(|queue| queue.id.0 as usize + 1).max().unwrap_or(0);
        let mut by_queue = vec![Rights::NONE; length];
        for queue in queues {
            if let Some(rights) = by_queue.get_mut(queue.id.0 as usize) {
                let here = given.iter().filter(|(place, _)| *place == Some(queue.id));
                *rights = here.fold(everywhere, |all, (_, rights)| all.or(*rights));
            }
        }
        let somewhere = by_queue.iter().fold(everywhere, |all, rights| all.or(*rights));
        let seen = queues
            .iter()
            .map(|queue| queue.id)
            .filter(|queue| by_queue.get(queue.0 as usize).is_some_and(|rights| rights.has(Right::See)));
        let sees = if everywhere.has(Right::See) { QueueSet::All } else { QueueSet::of(seen) };
        Self { everywhere, somewhere, by_queue: by_queue.into(), sees }
    }
}

/// The standing of each agent of one tenant that has a role; `people` are the tenant's alone.
pub(super) fn of_tenant(people: &PeopleRows, queues: &[QueueRow]) -> FxHashMap<AgentId, Arc<Standing>> {
    let rights: FxHashMap<RoleId, Rights> = people.roles.iter().map(|role| (role.id, role.rights)).collect();
    let mut members: FxHashMap<TeamId, Vec<AgentId>> = FxHashMap::default();
    for member in &people.members {
        members.entry(member.team).or_default().push(member.agent);
    }
    let mut given: FxHashMap<AgentId, Vec<Given>> = FxHashMap::default();
    for grant in &people.grants {
        let role = (grant.queue, rights.get(&grant.role).copied().unwrap_or_default());
        match grant.to {
            Grantee::Agent(agent) => given.entry(agent).or_default().push(role),
            Grantee::Team(team) => {
                for agent in members.get(&team).into_iter().flatten() {
                    given.entry(*agent).or_default().push(role);
                }
            }
        }
    }
    let mut known: FxHashMap<Vec<Given>, Arc<Standing>> = FxHashMap::default();
    let mut standings = FxHashMap::default();
    for (agent, mut roles) in given {
        roles.sort_unstable_by_key(|(queue, rights)| (*queue, rights.bits()));
        roles.dedup();
        let standing = known.entry(roles).or_insert_with_key(|roles| Arc::new(Standing::new(roles, queues)));
        standings.insert(agent, Arc::clone(standing));
    }
    standings
}

#[cfg(test)]
mod tests {
    use waggle_core::id::{GrantId, LifecycleId, TenantId};

    use super::*;
    use crate::store::{GrantRow, MemberRow, RoleRow, TeamRow};

    const TENANT: TenantId = TenantId(1);

    fn role(id: u32, rights: &[Right]) -> RoleRow {
        let rights = rights.iter().copied().collect();
        RoleRow { tenant: TENANT, id: RoleId(id), name: format!("role {id}"), rights, is_builtin: false }
    }

    fn grant(id: u32, role: u32, to: Grantee, queue: Option<u32>) -> GrantRow {
        GrantRow { tenant: TENANT, id: GrantId(id), role: RoleId(role), to, queue: queue.map(QueueId) }
    }

    #[test]
    fn roles_add_up_over_queues_and_teams() {
        let (ana, ben, cat) = (AgentId(1), AgentId(2), AgentId(3));
        let queues: Vec<QueueRow> = (1..=3)
            .map(|id| QueueRow {
                tenant: TENANT,
                id: QueueId(id),
                name: format!("queue {id}"),
                lifecycle: LifecycleId(1),
            })
            .collect();
        let people = PeopleRows {
            teams: vec![TeamRow { tenant: TENANT, id: TeamId(1), name: "night".to_owned() }],
            members: vec![ben, cat]
                .into_iter()
                .map(|agent| MemberRow { tenant: TENANT, team: TeamId(1), agent })
                .collect(),
            roles: vec![
                role(1, &[Right::See]),
                role(2, &[Right::See, Right::Reply]),
                role(3, &[Right::Administer]),
            ],
            grants: vec![
                grant(1, 1, Grantee::Agent(ana), None),
                grant(2, 2, Grantee::Agent(ana), Some(2)),
                grant(3, 2, Grantee::Team(TeamId(1)), Some(3)),
                grant(4, 3, Grantee::Agent(ben), Some(1)),
                // A queue that there is not.
                grant(5, 2, Grantee::Agent(cat), Some(99)),
            ],
        };
        let standings = of_tenant(&people, &queues);
        let rights = |agent: AgentId| {
            let standing = &standings[&agent];
            let here = (0..5).map(|queue| standing.in_queue(QueueId(queue)).to_string()).collect::<Vec<_>>();
            (standing.everywhere.to_string(), standing.somewhere.to_string(), here)
        };
        let text = |texts: [&str; 5]| texts.map(str::to_owned).to_vec();
        assert_eq!(
            rights(ana),
            ("see".to_owned(), "see reply".to_owned(), text(["", "see", "see reply", "see", ""]))
        );
        assert_eq!(
            rights(ben),
            (String::new(), "see reply administer".to_owned(), text(["", "administer", "", "see reply", ""]))
        );
        assert_eq!(rights(cat), (String::new(), "see reply".to_owned(), text(["", "", "", "see reply", ""])));
        assert_eq!(standings[&ana].sees, QueueSet::All);
        assert_eq!(standings[&ben].sees.listed(), Some(vec![QueueId(3)]));
        assert!(!standings.contains_key(&AgentId(4)));
    }

    #[test]
    fn agents_with_the_same_roles_share_their_standing() {
        let people = PeopleRows {
            roles: vec![role(1, &[Right::See])],
            grants: (1..=3).map(|agent| grant(agent, 1, Grantee::Agent(AgentId(agent)), None)).collect(),
            ..PeopleRows::default()
        };
        let standings = of_tenant(&people, &[]);
        assert!(Arc::ptr_eq(&standings[&AgentId(1)], &standings[&AgentId(3)]));
    }
}
