//! What each mutation does over a tracked entity: those that seaography generates, and those that leave events.

use std::{
    any::Any,
    sync::{Arc, Mutex},
};

use events_sea_orm::{Context, Events, ScopeError, event};
use graphql_tests::{TestDb, campaign, generated, hooks, tracked};
use sea_orm::{
    ConnectionTrait, DbBackend, EntityTrait, QueryOrder, Schema, Set, prelude::async_trait::async_trait,
};
use seaography::{
    DefaultLifecycleHook, GuardAction, LifecycleHooksInterface, OperationType,
    async_graphql::{
        Request, Response,
        dynamic::{self, ResolverContext},
    },
};
use serde_json::{Value, json};

graphql_tests::conformance! {
    queries_need_no_context,
    generated_mutations_without_a_scope,
    generated_mutations_in_a_scope,
    generated_mutations_in_a_scope_on_the_pool,
    generated_update_out_of_its_own_filter,
    guard_closes_what_is_silent,
    tracked_mutations_look_the_same,
    tracked_mutations_leave_events,
    tracked_mutations_keep_to_the_team,
    tracked_mutation_is_one_unit_of_work,
    tracked_mutations_call_the_hooks,
}

const CREATE_ONE: &str =
    r#"mutation { campaignsCreateOne(data: {teamId: 7, name: "one", budget: 1, apiKey: "k1"}) { id name } }"#;
const CREATE_BATCH: &str = r#"mutation { campaignsCreateBatch(data: [
    {teamId: 7, name: "two", budget: 2, apiKey: "k2"},
    {teamId: 7, name: "three", budget: 3, apiKey: "k3"}]) { id name } }"#;
const UPDATE: &str =
    r#"mutation { campaignsUpdate(data: {budget: 9}, filter: {name: {eq: "a"}}) { name budget } }"#;
const DELETE: &str = r#"mutation { campaignsDelete(filter: {name: {eq: "a"}}) }"#;

/// A campaign `a` of team 7 and a campaign `b` of team 8, and no events.
async fn set_up(db: &TestDb) -> Events {
    events_sea_orm::migration::up(&db.db).await.unwrap();
    let table = Schema::new(db.db.get_database_backend()).create_table_from_entity(campaign::Entity);
    db.db.execute(&table).await.unwrap();
    let row = |name: &str, team: i32| campaign::ActiveModel {
        team_id: Set(team),
        name: Set(name.to_owned()),
        budget: Set(0),
        api_key: Set(format!("key-{name}")),
        ..Default::default()
    };
    campaign::Entity::insert_many([row("a", 7), row("b", 8)]).exec(&db.db).await.unwrap();
    Events::builder(db.db.clone()).build().await.unwrap()
}

fn ada() -> Context {
    Context::team(7).actor("ada")
}

/// `name` and `budget` of every row.
async fn rows(db: &TestDb) -> Vec<(String, i32)> {
    let rows = campaign::Entity::find().order_by_asc(campaign::Column::Id).all(&db.db).await.unwrap();
    rows.into_iter().map(|row| (row.name, row.budget)).collect()
}

/// Type and data of every event.
async fn log(db: &TestDb) -> Vec<(String, Value)> {
    let log = event::Entity::find().order_by_asc(event::Column::Seq).all(&db.db).await.unwrap();
    log.into_iter().map(|event| (event.event_type, event.event_data)).collect()
}

fn untouched() -> Vec<(String, i32)> {
    vec![("a".to_owned(), 0), ("b".to_owned(), 0)]
}

#[track_caller]
fn answer(response: Response) -> Value {
    assert!(response.errors.is_empty(), "{:?}", response.errors);
    response.data.into_json().unwrap()
}

#[track_caller]
fn error(response: Response) -> String {
    assert_eq!(response.errors.len(), 1, "{response:?}");
    response.errors[0].message.clone()
}

async fn queries_need_no_context(db: Arc<TestDb>) {
    set_up(&db).await;
    let schema = generated(&db.db, DefaultLifecycleHook);
    let query = r#"{ campaigns(filters: {name: {eq: "b"}}) { nodes { name teamId } } }"#;
    let found = answer(schema.execute(query).await);
    assert_eq!(found, json!({"campaigns": {"nodes": [{"name": "b", "teamId": 8}]}}));
}

async fn generated_mutations_without_a_scope(db: Arc<TestDb>) {
    set_up(&db).await;
    let schema = generated(&db.db, DefaultLifecycleHook);
    for create in [CREATE_ONE, CREATE_BATCH] {
        let refused = error(schema.execute(create).await);
        assert!(
            refused.contains("`campaign` is tracked: save it through `events.connection(..)`"),
            "{refused}"
        );
    }
    let refused = error(schema.execute(UPDATE).await);
    assert!(refused.contains("`campaign` was saved without its before-hook"), "{refused}");
    assert_eq!(rows(&db).await, untouched());

    assert_eq!(answer(schema.execute(DELETE).await), json!({"campaignsDelete": 1}));
    assert_eq!(rows(&db).await, [("b".to_owned(), 0)], "silent: the row is gone");
    assert!(log(&db).await.is_empty(), "and nothing says so");
}

async fn generated_mutations_in_a_scope(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let schema = generated(&db.db, DefaultLifecycleHook);
    let refused = error(events.scope(ada(), schema.execute(CREATE_ONE)).await.unwrap());
    assert!(refused.contains("inside `events.scope(..)` save it on a transaction, not on"), "{refused}");

    let created = answer(events.scope(ada(), schema.execute(CREATE_BATCH)).await.unwrap());
    assert_eq!(created["campaignsCreateBatch"].as_array().unwrap().len(), 2);
    let recorded = log(&db).await;
    assert_eq!(recorded.iter().map(|(kind, _)| kind.as_str()).collect::<Vec<_>>(), ["CREATED", "CREATED"]);
    assert_eq!(recorded[1].1["initial_values"], json!({"name": "three", "budget": 3}));

    update_is_refused_and_delete_silent(&db, &events, &schema, 2).await;
}

async fn generated_mutations_in_a_scope_on_the_pool(db: Arc<TestDb>) {
    set_up(&db).await;
    let events = Events::builder(db.db.clone()).scope_on_pool(true).build().await.unwrap();
    let schema = generated(&db.db, DefaultLifecycleHook);
    for create in [CREATE_ONE, CREATE_BATCH] {
        answer(events.scope(ada(), schema.execute(create)).await.unwrap());
    }
    assert_eq!(log(&db).await.len(), 3);
    update_is_refused_and_delete_silent(&db, &events, &schema, 3).await;
}

async fn update_is_refused_and_delete_silent(
    db: &TestDb,
    events: &Events,
    schema: &dynamic::Schema,
    recorded: usize,
) {
    // Rolled back, and the scope says so once more.
    let scope = events.scope(ada(), schema.execute(UPDATE)).await;
    let Err(ScopeError::Unfinished { output, objects, .. }) = scope else { panic!("must be an error") };
    assert!(error(output).contains("`campaign` was saved without its before-hook"));
    assert_eq!(objects, ["`campaign` 1"]);
    assert_eq!(rows(db).await[0], ("a".to_owned(), 0));

    let deleted = events.scope(ada(), schema.execute(DELETE)).await.unwrap();
    assert_eq!(answer(deleted), json!({"campaignsDelete": 1}));
    assert!(rows(db).await.iter().all(|(name, _)| name != "a"), "silent: the row is gone");
    assert_eq!(log(db).await.len(), recorded, "and nothing says so");
}

/// Where the database returns no rows, seaography looks for those it updated by the filter that they no longer match.
async fn generated_update_out_of_its_own_filter(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let schema = generated(&db.db, DefaultLifecycleHook);
    let rename = |from: &str, to: &str| {
        let (data, filter) = (format!("{{name: \"{to}\"}}"), format!("{{name: {{eq: \"{from}\"}}}}"));
        schema.execute(format!("mutation {{ campaignsUpdate(data: {data}, filter: {filter}) {{ name }} }}"))
    };
    match db.db.get_database_backend() {
        DbBackend::MySql => {
            let none = json!({"campaignsUpdate": []});
            assert_eq!(answer(rename("a", "y").await), none);
            assert_eq!(answer(events.scope(ada(), rename("y", "z")).await.unwrap()), none);
            assert_eq!(rows(&db).await[0].0, "z", "silent: the row has changed");
        }
        _ => {
            error(rename("a", "y").await);
            events.scope(ada(), rename("a", "z")).await.unwrap_err();
            assert_eq!(rows(&db).await, untouched());
        }
    }
    assert!(log(&db).await.is_empty());
}

/// The stop-gap: no generated mutation writes a tracked table, in a scope or without one.
async fn guard_closes_what_is_silent(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let schema = generated(&db.db, hooks::TrackedReadOnly);
    for mutation in [CREATE_ONE, CREATE_BATCH, UPDATE, DELETE] {
        let refused = "Campaigns is tracked: this mutation would leave no events";
        assert_eq!(error(schema.execute(mutation).await), refused);
        assert_eq!(error(events.scope(ada(), schema.execute(mutation)).await.unwrap()), refused);
    }
    assert_eq!(
        answer(schema.execute("{ campaigns { nodes { name } } }").await)["campaigns"]["nodes"][1]["name"],
        "b"
    );
    assert_eq!(rows(&db).await, untouched());
    assert!(log(&db).await.is_empty());
}

async fn tracked_mutations_look_the_same(db: Arc<TestDb>) {
    let (tracked, generated) = (tracked(&db.db, hooks::OwnTeam), generated(&db.db, DefaultLifecycleHook));
    assert!(
        generated
            .sdl()
            .contains("campaignsUpdate(data: CampaignsUpdateInput!, filter: CampaignsFilterInput)")
    );
    assert_eq!(tracked.sdl(), generated.sdl());
}

async fn tracked_mutations_leave_events(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let schema = tracked(&db.db, hooks::OwnTeam);
    let run = async |mutation: &str| {
        answer(schema.execute(Request::new(mutation).data(events.connection(ada()))).await)
    };
    assert_eq!(run(CREATE_ONE).await["campaignsCreateOne"]["name"], "one");
    assert_eq!(run(CREATE_BATCH).await["campaignsCreateBatch"][1]["name"], "three");
    assert_eq!(run(UPDATE).await, json!({"campaignsUpdate": [{"name": "a", "budget": 9}]}));
    // A filter that the update itself makes false.
    let rename = r#"mutation { campaignsUpdate(data: {name: "z"}, filter: {name: {eq: "two"}}) { name } }"#;
    assert_eq!(run(rename).await, json!({"campaignsUpdate": [{"name": "z"}]}));
    assert_eq!(run(DELETE).await, json!({"campaignsDelete": 1}));

    let created = |name: &str, budget: i32| {
        let values = json!({"name": name, "budget": budget});
        ("CREATED".to_owned(), json!({"initial_values": values, "redacted": ["api_key"]}))
    };
    let updated = |field: &str, old: Value, new: Value| {
        ("UPDATED".to_owned(), json!({"changes": {field: {"old": old, "new": new}}}))
    };
    let log = log(&db).await;
    assert_eq!(log[..3], [created("one", 1), created("two", 2), created("three", 3)]);
    assert_eq!(log[3], updated("budget", json!(0), json!(9)));
    assert_eq!(log[4], updated("name", json!("two"), json!("z")));
    assert_eq!(
        (log[5].0.as_str(), &log[5].1["final_values"]),
        ("DELETED", &json!({"name": "a", "budget": 9}))
    );
    assert_eq!(log.len(), 6);
}

async fn tracked_mutations_keep_to_the_team(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let schema = tracked(&db.db, hooks::OwnTeam);
    let run =
        async |request: &str| schema.execute(Request::new(request).data(events.connection(ada()))).await;
    let nodes = answer(run("{ campaigns { nodes { name } } }").await);
    assert_eq!(nodes, json!({"campaigns": {"nodes": [{"name": "a"}]}}));
    // Without a filter: every row of the team.
    let all = answer(run("mutation { campaignsUpdate(data: {budget: 5}) { name } }").await);
    assert_eq!(all, json!({"campaignsUpdate": [{"name": "a"}]}));
    let theirs = r#"mutation { campaignsDelete(filter: {name: {eq: "b"}}) }"#;
    assert_eq!(answer(run(theirs).await), json!({"campaignsDelete": 0}));
    assert_eq!(answer(run("mutation { campaignsDelete }").await), json!({"campaignsDelete": 1}));
    for create in [CREATE_ONE, CREATE_BATCH] {
        let refused = error(run(&create.replace("teamId: 7", "teamId: 8")).await);
        assert!(refused.contains("is not of the context's team"), "{refused}");
    }
    let moved = error(run("mutation { campaignsUpdate(data: {teamId: 8}) { name } }").await);
    assert!(moved.contains("team_id"), "{moved}");
    assert_eq!(rows(&db).await, [("b".to_owned(), 0)]);
    assert_eq!(log(&db).await.len(), 2);

    for request in ["{ campaigns { nodes { name } } }", CREATE_ONE, CREATE_BATCH, UPDATE, DELETE] {
        assert_eq!(error(schema.execute(request).await), "no team", "without a caller");
    }
}

/// A batch that fails half way leaves neither rows nor events, and the answer does not tell the redacted value. Another
/// mutation of the same request is another unit.
async fn tracked_mutation_is_one_unit_of_work(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let schema = tracked(&db.db, hooks::OwnTeam);
    let mutation = r#"mutation {
        campaignsUpdate(data: {budget: 5}) { name }
        campaignsCreateBatch(data: [
            {teamId: 7, name: "new", budget: 1, apiKey: "new"},
            {teamId: 7, name: "taken", budget: 1, apiKey: "key-b"}]) { name } }"#;
    let failed = error(schema.execute(Request::new(mutation).data(events.connection(ada()))).await);
    assert!(!failed.contains("key-b"), "{failed}");
    assert_eq!(rows(&db).await, [("a".to_owned(), 5), ("b".to_owned(), 0)]);
    let types: Vec<_> = log(&db).await.into_iter().map(|(kind, _)| kind).collect();
    assert_eq!(types, ["UPDATED"]);
}

/// Nobody sets a budget, new campaigns have one of 50, and what was done is written down.
#[derive(Clone, Default)]
struct Budgets(Arc<Mutex<Vec<OperationType>>>);

#[async_trait]
impl LifecycleHooksInterface for Budgets {
    fn field_guard(&self, _: &ResolverContext, _: &str, field: &str, action: OperationType) -> GuardAction {
        match (field, action) {
            ("budget", OperationType::Update) => GuardAction::Block(Some("budgets are fixed".to_owned())),
            _ => GuardAction::Allow,
        }
    }

    fn before_active_model_save(
        &self,
        _: &ResolverContext,
        _: &str,
        _: OperationType,
        row: &mut dyn Any,
    ) -> GuardAction {
        row.downcast_mut::<campaign::ActiveModel>().unwrap().budget = Set(50);
        GuardAction::Allow
    }

    async fn entity_watch(&self, _: &ResolverContext, _: &str, action: OperationType) {
        self.0.lock().unwrap().push(action);
    }
}

async fn tracked_mutations_call_the_hooks(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let hooks = Budgets::default();
    let schema = tracked(&db.db, hooks.clone());
    let run =
        async |mutation: &str| schema.execute(Request::new(mutation).data(events.connection(ada()))).await;
    answer(run(CREATE_ONE).await);
    answer(run(CREATE_BATCH).await);
    assert_eq!(error(run(UPDATE).await), "budgets are fixed");
    answer(run(r#"mutation { campaignsUpdate(data: {name: "z"}, filter: {name: {eq: "a"}}) { id } }"#).await);
    answer(run(r#"mutation { campaignsDelete(filter: {name: {eq: "z"}}) }"#).await);
    use OperationType::{Create, Delete, Update};
    assert_eq!(*hooks.0.lock().unwrap(), [Create, Create, Update, Delete]);
    let budgets: Vec<_> = rows(&db).await.into_iter().map(|(_, budget)| budget).collect();
    assert_eq!(budgets, [0, 50, 50, 50]);
}
