//! The macros of `events-sea-orm`, which re-exports them. Their output names that crate only, by absolute paths: nothing
//! that stands beside the model can be mistaken for what the output means.

mod behavior;
mod errors;
mod keys;
#[cfg(test)]
mod snapshots;
mod spans;
mod tracked;

use proc_macro::TokenStream;

/// Makes the saves of a SeaORM model leave events.
///
/// Stands on the `Model` of an entity module, beside `DeriveEntityModel` or under `#[sea_orm::model]`. It writes
/// `impl ActiveModelBehavior for ActiveModel`; remove the one that `sea-orm-cli` wrote.
///
/// On the model, `#[tracked(..)]`:
/// - `team = "team_id"`: the field that names the row's team; `team = context` if rows do not say. Required.
/// - `object_type = "campaign"`: the name under which objects are recorded. The table's name unless said.
/// - `soft_delete = "deleted_at"`: the field that marks a row as deleted, a nullable time or a bool. Setting it is
///   DELETED, clearing it RESTORED. It need not be tracked itself.
/// - `all`: track every field but the key and the team; `#[track(skip)]` leaves one out.
/// - `behavior = "custom"`: the model has hooks of its own, and `#[tracked_behavior]` on them.
/// - `crate = path`: where `events_sea_orm` is found.
///
/// On a field, `#[track]` or `#[track(..)]`:
/// - `state`: a change of it is a STATE_CHANGED event.
/// - `transitions(Draft => [Live, Archived], Live => [Archived])`, beside `state`: which variants of the field's enum may
///   follow which. Any other transition is marked in its event as `undeclared`; a first value, after NULL, never is.
/// - `enforce`, beside `transitions`: any other transition is refused.
/// - `redact`: that it changed is recorded, never its value.
/// - `rename = "name"`: recorded under this name instead of the column's.
/// - `with = path`: a function from `&FieldType` to what is recorded, a JSON value.
/// - `skip`: not tracked, under `all`.
///
/// ```text
/// #[derive(Clone, Debug, PartialEq, DeriveEntityModel, Tracked)]
/// #[sea_orm(table_name = "campaigns")]
/// #[tracked(object_type = "campaign", team = "team_id")]
/// pub struct Model {
///     #[sea_orm(primary_key)]
///     pub id: i32,
///     pub team_id: i32,
///     #[track]
///     pub name: String,
///     #[track(state)]
///     pub status: Status,
/// }
/// ```
#[proc_macro_derive(Tracked, attributes(tracked, track))]
pub fn derive_tracked(input: TokenStream) -> TokenStream {
    tracked::derive(input.into()).into()
}

/// Keeps a tracked model's own hooks.
///
/// Stands on `impl ActiveModelBehavior for ActiveModel` of a model that says `#[tracked(behavior = "custom")]`, above
/// or below `#[async_trait]`. Before a save the user's hook runs first, after it the library's; `fn new` is kept.
///
/// ```text
/// #[tracked_behavior]
/// #[async_trait::async_trait]
/// impl ActiveModelBehavior for ActiveModel {
///     async fn before_save<C: ConnectionTrait>(mut self, db: &C, insert: bool) -> Result<Self, DbErr> {
///         self.updated_at = Set(Utc::now());
///         Ok(self)
///     }
/// }
/// ```
#[proc_macro_attribute]
pub fn tracked_behavior(arguments: TokenStream, item: TokenStream) -> TokenStream {
    behavior::expand(arguments.into(), item.into()).into()
}
