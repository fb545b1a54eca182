//! Mutations of a tracked entity that leave events, in place of those that seaography generates: the same names,
//! arguments and answers.
//!
//! Each takes the [`EventConnection`] of its request, `Request::new(..).data(events.connection(context))`, and is a unit
//! of work of its own. Seaography's hooks are called as its own mutations call them.

use std::marker::PhantomData;

use events_sea_orm::{ActiveModelEvents, EntityEvents, EventConnection, Tracked};
use sea_orm::{Condition, EntityTrait, IntoActiveModel, QueryFilter};
use seaography::{
    Builder, BuilderContext, EntityCreateBatchMutationBuilder, EntityCreateOneMutationBuilder,
    EntityDeleteMutationBuilder, EntityInputBuilder, EntityObjectBuilder, EntityUpdateMutationBuilder,
    FilterInputBuilder, GuardAction, OperationType,
    async_graphql::{
        Result, Value,
        dynamic::{Field, FieldFuture, FieldValue, InputValue, ObjectAccessor, ResolverContext, TypeRef},
    },
    get_filter_conditions, guard_error, prepare_active_model,
};

/// What the mutations need of an entity.
pub trait TrackedEntity:
    EntityTrait<Model: Tracked + IntoActiveModel<Self::ActiveModel> + Sync, ActiveModel: Send + Sync + 'static>
{
}

impl<E> TrackedEntity for E where
    E: EntityTrait<
            Model: Tracked + IntoActiveModel<E::ActiveModel> + Sync,
            ActiveModel: Send + Sync + 'static,
        >
{
}

/// Registers the four mutations of an entity that was registered with `mutation: false`.
pub fn register<E: TrackedEntity>(builder: &mut Builder) {
    let context = builder.context;
    let (objects, inputs) = (EntityObjectBuilder { context }, EntityInputBuilder { context });
    builder.outputs.push(objects.to_basic_object::<E>());
    builder.inputs.extend([inputs.insert_input_object::<E>(), inputs.update_input_object::<E>()]);

    let row = objects.basic_type_name::<E>();
    let (new_row, new_values) = (inputs.insert_type_name::<E>(), inputs.update_type_name::<E>());
    let filter = FilterInputBuilder { context }.type_name(&objects.type_name::<E>());
    builder.mutations.extend([
        Field::new(
            EntityCreateOneMutationBuilder { context }.type_name::<E>(),
            TypeRef::named_nn(&row),
            move |ctx| FieldFuture::new(async move { create_one::<E>(&ctx, context).await.map(Some) }),
        )
        .argument(InputValue::new(
            &context.entity_create_one_mutation.data_field,
            TypeRef::named_nn(&new_row),
        )),
        Field::new(
            EntityCreateBatchMutationBuilder { context }.type_name::<E>(),
            TypeRef::named_nn_list_nn(&row),
            move |ctx| FieldFuture::new(async move { create_batch::<E>(&ctx, context).await.map(Some) }),
        )
        .argument(InputValue::new(
            &context.entity_create_batch_mutation.data_field,
            TypeRef::named_nn_list_nn(&new_row),
        )),
        Field::new(
            EntityUpdateMutationBuilder { context }.type_name::<E>(),
            TypeRef::named_nn_list_nn(&row),
            move |ctx| FieldFuture::new(async move { update::<E>(&ctx, context).await.map(Some) }),
        )
        .argument(InputValue::new(&context.entity_update_mutation.data_field, TypeRef::named_nn(new_values)))
        .argument(InputValue::new(&context.entity_update_mutation.filter_field, TypeRef::named(&filter))),
        Field::new(
            EntityDeleteMutationBuilder { context }.type_name::<E>(),
            TypeRef::named_nn(TypeRef::INT),
            move |ctx| FieldFuture::new(async move { delete::<E>(&ctx, context).await.map(Some) }),
        )
        .argument(InputValue::new(&context.entity_delete_mutation.filter_field, TypeRef::named(&filter))),
    ]);
}

async fn create_one<E: TrackedEntity>(
    ctx: &ResolverContext<'_>,
    context: &'static BuilderContext,
) -> Result<FieldValue<'static>> {
    let call = Call::<E>::start(ctx, context, OperationType::Create)?;
    let data = ctx.args.try_get(&context.entity_create_one_mutation.data_field)?;
    let created = call.row(&data.object()?)?.create_with_event(call.db()?).await?;
    call.done().await;
    Ok(FieldValue::owned_any(created))
}

async fn create_batch<E: TrackedEntity>(
    ctx: &ResolverContext<'_>,
    context: &'static BuilderContext,
) -> Result<FieldValue<'static>> {
    let call = Call::<E>::start(ctx, context, OperationType::Create)?;
    let data = ctx.args.try_get(&context.entity_create_batch_mutation.data_field)?.list()?;
    let rows = data.iter().map(|row| call.row(&row.object()?)).collect::<Result<Vec<_>>>()?;
    let created = E::insert_many_with_events(rows).exec_with_returning(call.db()?).await?;
    call.done().await;
    Ok(FieldValue::list(created.into_iter().map(FieldValue::owned_any)))
}

async fn update<E: TrackedEntity>(
    ctx: &ResolverContext<'_>,
    context: &'static BuilderContext,
) -> Result<FieldValue<'static>> {
    let call = Call::<E>::start(ctx, context, OperationType::Update)?;
    let data = ctx.args.try_get(&context.entity_update_mutation.data_field)?;
    let updated = E::update_many_with_events()
        .set(call.row(&data.object()?)?)
        .filter(call.condition(&context.entity_update_mutation.filter_field)?)
        .exec_with_returning(call.db()?)
        .await?;
    call.done().await;
    Ok(FieldValue::list(updated.into_iter().map(FieldValue::owned_any)))
}

async fn delete<E: TrackedEntity>(
    ctx: &ResolverContext<'_>,
    context: &'static BuilderContext,
) -> Result<FieldValue<'static>> {
    let call = Call::<E>::start(ctx, context, OperationType::Delete)?;
    let deleted = E::delete_many_with_events()
        .filter(call.condition(&context.entity_delete_mutation.filter_field)?)
        .exec(call.db()?)
        .await?;
    call.done().await;
    Ok(FieldValue::value(Value::from(deleted.rows_affected)))
}

/// One mutation of one request, as seaography's hooks see it.
struct Call<'a, E> {
    ctx: &'a ResolverContext<'a>,
    context: &'static BuilderContext,
    action: OperationType,
    name: String,
    entity: PhantomData<fn() -> E>,
}

impl<'a, E: TrackedEntity> Call<'a, E> {
    fn start(
        ctx: &'a ResolverContext<'a>,
        context: &'static BuilderContext,
        action: OperationType,
    ) -> Result<Self> {
        let name = EntityObjectBuilder { context }.type_name::<E>();
        allowed(context.hooks.entity_guard(ctx, &name, action))?;
        Ok(Self { ctx, context, action, name, entity: PhantomData })
    }

    /// For whom.
    fn db(&self) -> Result<&'a EventConnection> {
        self.ctx.data()
    }

    /// The values of one row, if the caller may set them.
    fn row(&self, input: &ObjectAccessor<'_>) -> Result<E::ActiveModel> {
        let Self { ctx, context, action, name, .. } = self;
        for (field, _) in input.iter() {
            allowed(context.hooks.field_guard(ctx, name, field, *action))?;
        }
        let (inputs, objects) = (EntityInputBuilder { context }, EntityObjectBuilder { context });
        let mut row = prepare_active_model::<E, E::ActiveModel>(&inputs, &objects, input)?;
        if *action == OperationType::Create {
            allowed(context.hooks.before_active_model_save(ctx, name, *action, &mut row))?;
        }
        Ok(row)
    }

    /// The rows that the caller means, of those that it may touch.
    fn condition(&self, filter: &str) -> Result<Condition> {
        let means = get_filter_conditions::<E>(self.context, self.ctx.args.get(filter))?;
        let may_touch = self.context.hooks.entity_filter(self.ctx, &self.name, self.action);
        Ok(Condition::all().add_option(may_touch).add(means))
    }

    async fn done(&self) {
        self.context.hooks.entity_watch(self.ctx, &self.name, self.action).await;
    }
}

fn allowed(guard: GuardAction) -> Result<()> {
    match guard {
        GuardAction::Allow => Ok(()),
        GuardAction::Block(reason) => Err(guard_error(reason, "blocked by a hook")),
    }
}
