//! Hooks of seaography that a schema over tracked entities needs.

use events_sea_orm::{EventConnection, TeamScope, registered};
use sea_orm::{ColumnTrait, Condition, sea_query::IntoCondition};
use seaography::{
    GuardAction, LifecycleHooksInterface, OperationType, async_graphql::dynamic::ResolverContext,
    heck::ToUpperCamelCase,
};

use crate::campaign;

/// A caller reads and writes the rows of its own team: for queries and for [`tracked_mutations`](crate::tracked_mutations).
pub struct OwnTeam;

impl LifecycleHooksInterface for OwnTeam {
    fn entity_guard(&self, ctx: &ResolverContext, _entity: &str, _action: OperationType) -> GuardAction {
        match team(ctx) {
            Some(_) => GuardAction::Allow,
            None => GuardAction::Block(Some("no team".to_owned())),
        }
    }

    fn entity_filter(&self, ctx: &ResolverContext, entity: &str, _: OperationType) -> Option<Condition> {
        let team = team(ctx)?; // without one the guard has refused
        match entity {
            "Campaigns" => Some(campaign::Column::TeamId.eq(team).into_condition()),
            _ => None, // shown to every team
        }
    }
}

fn team(ctx: &ResolverContext) -> Option<i32> {
    match ctx.data::<EventConnection>().ok()?.context().team_scope() {
        TeamScope::Team(team) => team.parse().ok(),
        _ => None,
    }
}

/// No mutation that seaography generates writes a tracked table.
///
/// The name of an entity is what `BuilderContext::entity_object.type_name` makes of its table: here the default.
pub struct TrackedReadOnly;

impl LifecycleHooksInterface for TrackedReadOnly {
    fn entity_guard(&self, _: &ResolverContext, entity: &str, action: OperationType) -> GuardAction {
        let is_tracked = || registered().any(|tracked| tracked.table().to_upper_camel_case() == entity);
        if action != OperationType::Read && is_tracked() {
            return GuardAction::Block(Some(format!(
                "{entity} is tracked: this mutation would leave no events"
            )));
        }
        GuardAction::Allow
    }
}
