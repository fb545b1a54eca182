//! Whether a connection and the tables of this library keep every text.

use sea_orm::{ConnectionTrait, DbBackend, DbErr, Statement, Value};

use crate::{
    store::own_tables,
    verify::{TextFinding, TextProblem},
};

/// On SQLite nothing can be found: a database in UTF-16 keeps the same texts as one in UTF-8.
pub(crate) async fn findings(db: &impl ConnectionTrait) -> Result<Vec<TextFinding>, DbErr> {
    match db.get_database_backend() {
        DbBackend::Postgres => postgres(db).await,
        DbBackend::MySql => mysql(db).await,
        _ => Ok(Vec::new()),
    }
}

async fn postgres(db: &impl ConnectionTrait) -> Result<Vec<TextFinding>, DbErr> {
    const ENCODINGS: &str =
        "SELECT current_setting('server_encoding') AS server, current_setting('client_encoding') AS client";
    let Some(row) = db.query_one_raw(Statement::from_string(DbBackend::Postgres, ENCODINGS)).await? else {
        return Ok(Vec::new());
    };
    let (server, client): (String, String) = (row.try_get("", "server")?, row.try_get("", "client")?);
    let mut findings = Vec::new();
    if server != "UTF8" {
        findings.push(TextFinding { problem: TextProblem::Database { encoding: server }, mend: None });
    }
    if client != "UTF8" {
        let problem = TextProblem::Connection { setting: "client_encoding".to_owned(), charset: client };
        findings.push(TextFinding { problem, mend: None });
    }
    Ok(findings)
}

/// The two collations of the migration steps: see `mysql_collation` there.
const COLLATIONS: [&str; 2] = ["utf8mb4_nopad_bin", "utf8mb4_0900_bin"];

/// What a statement says reaches a column by way of `client` and `connection`, and comes back by way of `results`.
async fn mysql(db: &impl ConnectionTrait) -> Result<Vec<TextFinding>, DbErr> {
    let [nopad, ours] = COLLATIONS;
    let tables: Vec<Value> = own_tables().map(Value::from).collect();
    let sql = format!(
        "SELECT '' AS t, 'character_set_client' AS name, CAST(@@character_set_client AS CHAR) AS value, '' AS version \
         UNION ALL SELECT '', 'character_set_connection', CAST(@@character_set_connection AS CHAR), '' \
         UNION ALL SELECT '', 'character_set_results', CAST(coalesce(@@character_set_results, 'NULL') AS CHAR), '' \
         UNION ALL SELECT CAST(TABLE_NAME AS CHAR), CAST(min(COLUMN_NAME) AS CHAR), CAST(min(COLLATION_NAME) AS CHAR), CAST(version() AS CHAR) \
         FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME IN ({}) \
         AND COLLATION_NAME NOT IN ('{nopad}', '{ours}') GROUP BY TABLE_NAME ORDER BY 1, 2",
        vec!["?"; tables.len()].join(", ")
    );
    let mut findings = Vec::new();
    for row in db.query_all_raw(Statement::from_sql_and_values(DbBackend::MySql, sql, tables)).await? {
        let (table, name): (String, String) = (row.try_get("", "t")?, row.try_get("", "name")?);
        let (value, version): (String, String) = (row.try_get("", "value")?, row.try_get("", "version")?);
        if !table.is_empty() {
            let collation = if version.contains("MariaDB") { nopad } else { ours };
            let mend = format!("ALTER TABLE {table} CONVERT TO CHARACTER SET utf8mb4 COLLATE {collation};");
            let problem = TextProblem::Column { table, column: name, collation: value };
            findings.push(TextFinding { problem, mend: Some(mend) });
        } else if value != "utf8mb4" {
            let problem = TextProblem::Connection { setting: name, charset: value };
            findings.push(TextFinding { problem, mend: None });
        }
    }
    Ok(findings)
}
