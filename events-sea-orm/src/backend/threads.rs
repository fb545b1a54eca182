//! Threads, as far as the databases differ.

use sea_orm::DbBackend;

/// An INSERT of any number of system messages whose text does not vary: its parameter is a JSON array of rows. What is
/// there already stays.
pub(crate) fn insert_messages_from_json(backend: DbBackend) -> &'static str {
    match backend {
        DbBackend::Postgres => {
            "INSERT INTO thread_messages (thread_id, team_id, event_id, kind, author_id, body, data) \
             SELECT thread_id, team_id, event_id, 'system', author_id, body, data::jsonb \
             FROM ROWS FROM (json_to_recordset($1::text::json) AS (thread_id bigint, team_id text, event_id uuid, author_id text, \
             body text, data text)) WITH ORDINALITY AS rows ORDER BY ordinality ON CONFLICT DO NOTHING"
        }
        DbBackend::MySql => {
            "INSERT INTO thread_messages (thread_id, team_id, event_id, kind, author_id, body, data) \
             SELECT r.thread_id, r.team_id, UNHEX(r.event_id), 'system', r.author_id, r.body, r.data \
             FROM JSON_TABLE(?, '$[*]' COLUMNS (n FOR ORDINALITY, thread_id BIGINT PATH '$.thread_id', team_id VARCHAR(191) CHARACTER SET utf8mb4 PATH '$.team_id', \
             event_id CHAR(32) CHARACTER SET utf8mb4 PATH '$.event_id', author_id VARCHAR(191) CHARACTER SET utf8mb4 PATH '$.author_id', body LONGTEXT CHARACTER SET utf8mb4 PATH '$.body', \
             data LONGTEXT CHARACTER SET utf8mb4 PATH '$.data')) AS r ORDER BY r.n ON DUPLICATE KEY UPDATE thread_messages.thread_id = thread_messages.thread_id"
        }
        // `WHERE true` tells the conflict from a join.
        _ => {
            "INSERT INTO thread_messages (thread_id, team_id, event_id, kind, author_id, body, data) \
             SELECT value ->> 'thread_id', value ->> 'team_id', unhex(value ->> 'event_id'), 'system', value ->> 'author_id', \
             value ->> 'body', value ->> 'data' FROM json_each(?) WHERE true ORDER BY key ON CONFLICT DO NOTHING"
        }
    }
}

/// Whether an INSERT locks the rows that are there already, beside those that it makes: on MySQL it has no way not to. So
/// there one INSERT of all, in key order, is the lock.
pub(crate) fn locks_by_insert(backend: DbBackend) -> bool {
    backend == DbBackend::MySql
}
