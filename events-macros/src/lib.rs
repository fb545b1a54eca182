//! The macros of `events-sea-orm`, which re-exports them. Their output names that crate only, by absolute paths: nothing
//! that stands beside the model can be mistaken for what the output means.

mod behavior;
mod consumer;
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
/// - `thread = "self"`: with the feature `threads`, the row's events are told in a thread of its own; or
///   `thread(object_type = "customer", id = "customer_id", scope = "campaign_id")`: in the thread of another object, whose
///   key stands in the field `id` (several: `id = ["film_id", "language"]`), in the scope that stands in the field `scope`.
///   Each part may be left out: object type and key are then the row's own, and there is no scope. The fields need not be
///   tracked. With NULL in `id` the row's events are in no thread.
/// - `all`: track every field but the key and the team; `#[track(skip)]` leaves one out. A field with the name of a secret (`password_hash`,
///   `api_key`, `reset_token` ..) must say `track`, `track(redact)` or `track(skip)`: what is recorded stays.
/// - `behavior = "custom"`: the model has hooks of its own, and `#[tracked_behavior]` on them.
/// - `crate = path`: where `events_sea_orm` is found.
///
/// On a field, `#[track]` or `#[track(..)]`:
/// - `state`: a change of it is a STATE_CHANGED event.
/// - `transitions(Draft => [Live, Archived], Live => [Archived])`, beside `state`: which variants of the field's enum may
///   follow which. Any other transition is marked in its event as `undeclared`; a first value, after NULL, never is.
/// - `enforce`, beside `transitions`: any other transition is refused.
/// - `redact`: that it changed is recorded, never its value. Database errors of the entity lose their message, and
///   `DbErr::sql_err()` still says what they are; what else may show a value is in the module `security`.
/// - `digest`: the length and the SHA-256 of its values are recorded in their place, for values that are too large for an
///   event. A short value can be guessed from its digest: hide one with `redact`.
/// - `rename = "name"`: recorded under this name instead of the column's.
/// - `renamed_from = "name"`: events of an earlier time have it under this name, and are read so.
/// - `with = path`: a function from `&FieldType` to what is recorded, a JSON value. It is the one field that is read by its
///   own type: a row in which that fails cannot be changed with an event.
/// - `label = "daily budget"`: what threads call it. Its recorded name with spaces for underscores unless said.
/// - `format = "plain"`, `"number"`, `"date"` or a path: how threads show its values: as they are, with thousands
///   separators, as a date without the time, or as a function from `&serde_json::Value` to `String` says.
/// - `skip`: not tracked, under `all`.
///
/// On a key, `#[track]` puts its value into CREATED and DELETED, beside the `object_id` that every event has: a junction's
/// events name both its ends so. No save of SeaORM's changes a key, so it is in no other event.
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

/// Registers a consumer: `Events::builder(db).build()` finds it without being told of it.
///
/// Stands on one of these, which stays as it is:
/// - `async fn(&EventTransaction, &Event) -> Result<(), ConsumerError>`, which runs in the transaction of the change, at
///   its commit;
/// - `async fn(&EventConnection, &Event) -> Result<(), ConsumerError>`, which runs after the commit;
/// - `impl Consumer for Type` or `impl Consumer<EventConnection> for Type`, the same two, where `Type` is a struct without
///   fields.
///
/// None of them has generic parameters. A consumer that holds something, or is of a generic type, is registered on the
/// builder: `.subscribe(Subscription::in_transaction(consumer))`.
///
/// `#[event_consumer(..)]`, each option as it is needed:
/// - `on(Created, Updated, StateChanged, Deleted, Restored, custom("launch_approved"))`: the types of the events that reach
///   it. Every type unless said.
/// - `object = campaign::Entity`, or `object(campaign::Entity, brand::Entity)`: only events about rows of these tracked
///   entities. Events about anything, and about nothing, unless said.
/// - `delivery = "in_transaction"` or `"after_commit"`: when it runs. In the transaction unless said; then its error rolls
///   the change back. `"after_commit"` is best effort: a crash loses what was still to be delivered.
/// - `name = "post_to_thread"`: its name in logs, statistics and `without_consumer`, unique in the application. The name of
///   the function or type unless said.
/// - `order = 10`: its place among the consumers of a unit of work, an `i32`; lower ones run first. 0 unless said.
/// - `on_error = "log"`, in the transaction: its failure is logged and alone rolled back, and the change goes on. `"abort"`
///   unless said.
/// - `time_budget_ms = 250`: how long one call of it may take before it counts as failed. 5 seconds in the transaction and
///   30 after the commit, unless said.
/// - `crate = path`: where `events_sea_orm` is found.
///
/// # Consumers in another crate
///
/// The compiler leaves out a dependency that nothing names, and its consumers with it. So the application names each crate
/// whose consumers it wants, anywhere: by something it uses of it, or with `use my_consumers as _;`. That is enough in
/// release builds and under link-time optimization too. A test names its own package's library likewise.
///
/// `events.consumer_stats()` lists the consumers that were found.
///
/// # Examples
///
/// ```text
/// #[event_consumer(on(StateChanged, custom("launch_approved")), object = campaign::Entity)]
/// async fn post_to_thread(txn: &EventTransaction, event: &Event) -> Result<(), ConsumerError> {
///     let post = post::ActiveModel { text: Set(event.event_type.to_string()), ..Default::default() };
///     post.insert(txn).await?;
///     Ok(())
/// }
///
/// struct SearchIndex;
///
/// #[event_consumer(delivery = "after_commit", name = "search", time_budget_ms = 2000)]
/// impl Consumer<EventConnection> for SearchIndex {
///     fn handle<'a>(&'a self, db: &'a EventConnection, event: &'a Event) -> ConsumerFuture<'a> {
///         Box::pin(async move { index(db, event).await })
///     }
/// }
/// ```
#[proc_macro_attribute]
pub fn event_consumer(arguments: TokenStream, item: TokenStream) -> TokenStream {
    consumer::expand(arguments.into(), item.into()).into()
}
