//! Saved views: what each of their endpoints needs.

use waggle_core::id::SavedViewId;

use super::*;
use crate::store::{Audience, SavedViewRow};

/// The number of no view here: the rows below make fewer.
const ABROAD_VIEW: u64 = 5_000;

impl Stage {
    pub(super) async fn of_views(&self, operation: Operation, object: Object) -> Option<Case> {
        let whole = object == Object::Here;
        let administer = Needs::Everywhere(Right::Administer);
        let id = if whole { self.view().await } else { ABROAD_VIEW };
        let path = format!("/v1/views/{id}");
        let sort = json!({"sort": "-updated"});
        let row = match operation {
            Operation::ListViews if whole => case(Needs::LetIn, 200, "/v1/views"),
            Operation::CreateView if whole => {
                case(Needs::LetIn, 201, "/v1/views").with(json!({"name": "mine", "query": "assignee:me"}))
            }
            Operation::GetView => case(Needs::LetIn, 200, path),
            Operation::ListViewTickets => case(Needs::LetIn, 200, format!("{path}/tickets")),
            Operation::CountView => case(Needs::LetIn, 200, format!("{path}/count")),
            // Without the right it is seen and stays; where there is none, nobody learns of rights.
            Operation::ChangeView if whole => case(administer, 200, path).with(sort),
            Operation::DeleteView if whole => case(administer, 204, path),
            Operation::ChangeView => case(Needs::LetIn, 200, path).with(sort),
            Operation::DeleteView => case(Needs::LetIn, 204, path),
            _ => return None,
        };
        Some(row)
    }

    /// A view of everybody's; its owner is none of the callers.
    async fn view(&self) -> u64 {
        let view = SavedViewRow {
            id: SavedViewId(0),
            name: "open".to_owned(),
            owner: AgentId(2),
            audience: Audience::Tenant,
            query: "status:open".to_owned(),
            sort: "-id".to_owned(),
        };
        self.world.api.store.create_saved_view(ACME, &view, None).await.unwrap().0.into()
    }
}
