//! Notifications, as far as the databases differ.

use sea_orm::{
    DbBackend, Statement,
    sea_query::{LockType, SelectStatement},
};

/// An INSERT of any number of notifications whose text does not vary: its parameter is a JSON array of rows. What is
/// there already stays.
pub(crate) fn insert_from_json(backend: DbBackend) -> &'static str {
    match backend {
        DbBackend::Postgres => {
            "INSERT INTO notifications (team_id, user_id, event_id, event_type, object_type, object_id, actor_id) \
             SELECT team_id, user_id, event_id, event_type, object_type, object_id, actor_id \
             FROM ROWS FROM (json_to_recordset($1::text::json) AS (team_id text, user_id text, event_id uuid, event_type text, \
             object_type text, object_id text, actor_id text)) WITH ORDINALITY AS rows ORDER BY ordinality \
             ON CONFLICT (user_id, team_id, event_id) DO NOTHING"
        }
        DbBackend::MySql => {
            "INSERT INTO notifications (team_id, user_id, event_id, event_type, object_type, object_id, actor_id) \
             SELECT r.team_id, r.user_id, UNHEX(r.event_id), r.event_type, r.object_type, r.object_id, r.actor_id \
             FROM JSON_TABLE(?, '$[*]' COLUMNS (n FOR ORDINALITY, team_id VARCHAR(191) CHARACTER SET utf8mb4 PATH '$.team_id', user_id VARCHAR(191) CHARACTER SET utf8mb4 PATH '$.user_id', \
             event_id CHAR(32) CHARACTER SET utf8mb4 PATH '$.event_id', event_type VARCHAR(63) CHARACTER SET utf8mb4 PATH '$.event_type', object_type VARCHAR(191) CHARACTER SET utf8mb4 PATH '$.object_type', \
             object_id VARCHAR(191) CHARACTER SET utf8mb4 PATH '$.object_id', actor_id VARCHAR(191) CHARACTER SET utf8mb4 PATH '$.actor_id')) AS r ORDER BY r.n \
             ON DUPLICATE KEY UPDATE notifications.id = notifications.id"
        }
        // `WHERE true` tells the conflict from a join.
        _ => {
            "INSERT INTO notifications (team_id, user_id, event_id, event_type, object_type, object_id, actor_id) \
             SELECT value ->> 'team_id', value ->> 'user_id', unhex(value ->> 'event_id'), value ->> 'event_type', \
             value ->> 'object_type', value ->> 'object_id', value ->> 'actor_id' \
             FROM json_each(?) WHERE true ORDER BY key ON CONFLICT (user_id, team_id, event_id) DO NOTHING"
        }
    }
}

/// Locks the rows that this SELECT finds, in its order, where the update after it may take them in any.
pub(crate) fn lock_unread(backend: DbBackend, select: &mut SelectStatement) {
    if backend == DbBackend::Postgres {
        select.lock(LockType::NoKeyUpdate);
    }
}

/// An UPDATE of notifications of given numbers, which takes them by their numbers. By the index of what is unread, MariaDB
/// would lock an entry of it before the row, and whoever has the row waits for the entry.
pub(crate) fn by_number(mut statement: Statement) -> Statement {
    if statement.db_backend == DbBackend::MySql {
        let forced = "UPDATE `notifications` FORCE INDEX (PRIMARY) SET";
        statement.sql = statement.sql.replacen("UPDATE `notifications` SET", forced, 1);
    }
    statement
}
