//! The `events` table, and what is emitted into it by hand.

use super::*;

tests::conformance! {
    emit_checks_name_team_and_payload,
    many_events_are_written_in_order,
    migration_runs_twice_and_back,
}

async fn emit_checks_name_team_and_payload(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let model = insert(&events, "a").await;
    let txn = events.begin(context()).await.unwrap();
    for name in ["", "Launch", "CREATED", "1a", &"a".repeat(64)] {
        assert!(matches!(refusal(&txn.emit(Event::custom(name)).await.unwrap_err()), Refused::Identifier(_)));
    }
    assert!(txn.emit(Event::custom("x").json(json!({"a": "b\0"}))).await.is_err());
    let payload = json!({"n": u64::MAX, "f": 0.1, "deep": [[[{"é": null}]]], "s": "\u{10ffff}\"\\\n"});
    txn.emit(Event::custom("launch.approved_2").about(&model).json(payload.clone())).await.unwrap();
    txn.emit(Event::custom("plain").json(json!("text"))).await.unwrap();
    txn.commit().await.unwrap();
    let log = db.log().await;
    assert_eq!((log[1].event_type.as_str(), &log[1].event_data), ("launch.approved_2", &payload));
    assert_eq!(log[2].event_data, json!("text"));
    assert_eq!(log[2].object_type, None);
}

async fn many_events_are_written_in_order(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let payload = json!({"n": u64::MAX, "f": 1.5e300, "s": "a'\"\\\u{1F980}", "list": [true, null, -0.5]});
    for count in [1, 2, 3, 4, 5, 40] {
        let before = db.log().await.len();
        let txn = events.begin(context().reason("it's \"quoted\"")).await.unwrap();
        for n in 0..count {
            let mut payload = payload.clone();
            payload["i"] = json!(n);
            txn.emit(Event::custom("x").about(events_sea_orm::ObjectRef::new("o'x", n)).json(payload))
                .await
                .unwrap();
        }
        txn.commit().await.unwrap();
        let log = db.log().await;
        assert_eq!(log.len(), before + count);
        for (n, row) in log[before..].iter().enumerate() {
            let mut payload = payload.clone();
            payload["i"] = json!(n);
            assert_eq!(row.event_data, payload);
            assert_eq!(
                (row.object_id.clone(), row.object_type.as_deref()),
                (Some(n.to_string()), Some("o'x"))
            );
            assert_eq!(row.context["reason"], "it's \"quoted\"");
            assert_eq!((row.team_id.as_str(), row.actor_id.as_deref()), ("7", Some("ada")));
            assert!((row.recorded_at - row.occurred_at).num_seconds().abs() < 60, "{row:?}");
        }
        assert_eq!(log[before].id, log[before].unit_id);
    }
}

async fn migration_runs_twice_and_back(db: Arc<TestDb>) {
    events_sea_orm::migration::up(&db.db).await.unwrap();
    events_sea_orm::migration::up(&db.db).await.unwrap();
    assert_eq!(db.log().await.len(), 0);
    events_sea_orm::migration::down(&db.db).await.unwrap();
    assert!(event::Entity::find().one(&db.db).await.is_err());
    events_sea_orm::migration::up(&db.db).await.unwrap();
    assert_eq!(db.log().await.len(), 0);
}
