//! What a pooler between the application and the database does to the team.

use std::sync::Arc;

use events_sea_orm::{BuildError, Events, Finding, IsolationFinding};
use tests::{TestDb, pooler::PgBouncer, roles::PASSWORD};

use crate::isolation::{as_team, insert_event, isolated, texts};

tests::on_postgres! {
    a_pooler_by_the_transaction_keeps_teams_apart,
    a_pooler_by_the_statement_is_found,
    an_old_pooler_by_the_transaction_is_named,
}

async fn a_pooler_by_the_transaction_keeps_teams_apart(db: Arc<TestDb>) {
    if !PgBouncer::is_installed() {
        return;
    }
    let roles = isolated(&db).await;
    for mode in ["session", "transaction"] {
        let pooler = PgBouncer::start(&db.url, mode, &[(&roles.app, PASSWORD)]).await;
        let app = TestDb::open_with(&pooler.url(&db.url_as(&roles.app)), 1).await;
        let report = Events::builder(app.clone()).build().await.unwrap().verify().await.unwrap();
        let isolation = |finding: &&Finding| matches!(finding, Finding::Isolation(_));
        assert_eq!(report.findings().iter().find(isolation), None, "{mode}");
        for team in ["a", "b"] {
            as_team(&app, team, &insert_event(team)).await.unwrap();
        }
        assert_eq!(texts(&app, "SELECT team_id::text FROM events").await, Vec::<String>::new(), "{mode}");
        app.close().await.unwrap();
    }
}

async fn a_pooler_by_the_statement_is_found(db: Arc<TestDb>) {
    if !PgBouncer::is_installed() {
        return;
    }
    let roles = isolated(&db).await;
    let pooler = PgBouncer::start(&db.url, "statement", &[(&roles.app, PASSWORD)]).await;
    let app = TestDb::open_with(&pooler.url(&db.url_as(&roles.app)), 1).await;
    let direct = db.open_as(&roles.app, 1).await;
    Events::builder(direct.clone()).build().await.unwrap();
    // What it says of a transaction is told as what it is.
    match Events::builder(app.clone()).build().await {
        Err(BuildError::Danger { report }) => {
            assert_eq!(report.dangers().collect::<Vec<_>>(), [&Finding::Isolation(IsolationFinding::Pooler)]);
        }
        other => panic!("{other:?}"),
    }
    app.close().await.unwrap();
    direct.close().await.unwrap();
}

/// One that does not know prepared statements answers the second session of a connection with those of the first.
async fn an_old_pooler_by_the_transaction_is_named(db: Arc<TestDb>) {
    if !PgBouncer::is_installed() {
        return;
    }
    let roles = isolated(&db).await;
    let pooler = PgBouncer::start(&db.url, "transaction", &[(&roles.app, PASSWORD)]).await;
    let url = pooler.url(&db.url_as(&roles.app));
    let first = TestDb::open_with(&url, 1).await;
    Events::builder(first.clone()).build().await.unwrap();
    let second = TestDb::open_with(&url, 1).await;
    match Events::builder(second.clone()).build().await {
        Ok(_) => {} // version 1.21 or later, which knows them
        Err(error @ BuildError::SelfCheck(_)) => {
            let said = error.to_string();
            assert!(
                said.contains("prepared statement") && said.contains("PgBouncer 1.21 or later"),
                "{said}"
            );
        }
        Err(other) => panic!("{other}"),
    }
    first.close().await.unwrap();
    second.close().await.unwrap();
}
