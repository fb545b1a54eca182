//! What a newcomer's `unwrap` prints, which is `Debug`: what to do.

use super::*;

tests::conformance! {
    unwrapped_refusals_say_what_to_do,
    try_scope_needs_one_question_mark,
}

/// What `unwrap` prints of an error, and what a log line does.
fn printed<T>(result: Result<T, DbErr>) -> [String; 2] {
    let error = result.err().expect("must be refused");
    [format!("{error:?}"), error.to_string()]
}

async fn unwrapped_refusals_say_what_to_do(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let connection = events.connection(context());
    let advice = "save it through `events.connection(..)` or inside `events.scope(..)`";
    for text in printed(new_campaign("a").insert(&db.db).await) {
        assert!(text.contains(advice), "{text}");
        assert!(text.contains("`this call` into `events`") || text.starts_with("TryIntoErr"), "{text}");
    }
    for text in printed(new_campaign("a").insert(&connection).await) {
        assert!(text.contains("call `.create_with_event(&db)`"), "{text}");
    }
    for text in printed(connection.execute_unprepared("DELETE FROM campaigns").await) {
        assert!(text.contains(".untracked(\"reason\", ..)"), "{text}");
    }
    for text in printed(events.begin(Context::default()).await) {
        assert!(text.contains("`Context::team(..)`"), "{text}");
    }
    let txn = events.begin(context()).await.unwrap();
    txn.query_one_raw(Statement::from_string(txn.get_database_backend(), "SELECT nothing"))
        .await
        .unwrap_err();
    let refused = txn.commit().await.unwrap_err();
    assert!(format!("{refused:?}").contains("can only be rolled back"), "{refused:?}");
    let failed = CommitError::Failed(DbErr::Custom("disk full".to_owned()));
    let text = format!("{failed:?}");
    assert_eq!(text, "the commit failed and was rolled back: Custom Error: disk full");
}

async fn try_scope_needs_one_question_mark(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let insert = async |name: &str| {
        let txn = db.db.begin().await?;
        let model = new_campaign(name).insert(&txn).await?;
        txn.commit().await.map(|()| model)
    };
    let model = events.try_scope(context(), insert("a")).await.unwrap();
    assert_eq!(types(&db.log().await), ["CREATED"]);
    // What the work answers.
    let error = events.try_scope(context(), async { new_campaign("b").insert(&db.db).await }).await;
    assert!(matches!(refusal(&error.unwrap_err()), Refused::NotATransaction { .. }));
    // What the scope answers.
    let error = events.try_scope(Context::default(), insert("c")).await.unwrap_err();
    assert!(matches!(refusal(&error), Refused::NoTeam), "{error}");
    let unrecorded = async {
        let txn = db.db.begin().await?;
        let active = campaign::ActiveModel { id: Unchanged(model.id), budget: Set(1), ..Default::default() };
        active.update_without_returning(&txn).await?;
        txn.rollback().await
    };
    let error = events.try_scope(context(), unrecorded).await.unwrap_err();
    assert!(matches!(refusal(&error), Refused::Unfinished { objects, .. } if objects.len() == 1), "{error}");
    // Both: the work's own says more.
    let both = async {
        let txn = db.db.begin().await?;
        new_campaign("d").insert(&txn).await?;
        let taken = campaign::ActiveModel { id: Set(model.id), ..new_campaign("e") };
        taken.insert(&txn).await
    };
    let error = events.try_scope(context(), both).await.unwrap_err();
    assert!(Refused::of(&error).is_none(), "{error}");
}

#[test]
fn no_error_derives_its_debug() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut folders: Vec<_> =
        ["events-core", "events-sea-orm", "events-cli"].map(|name| root.join(name).join("src")).into();
    let mut errors = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            for line in std::fs::read_to_string(&path).unwrap().lines() {
                if line.starts_with("#[derive(") && line.contains("thiserror::Error") {
                    errors += 1;
                    assert!(!line.contains("Debug"), "{}: `Debug` hides what to do: {line}", path.display());
                }
            }
        }
    }
    assert!(errors > 10, "{errors} error types found");
}
