//! What the catalog says of policies, rights and roles, and what a pooler does to a transaction.

use sea_orm::{
    ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr, FromQueryResult, JsonValue,
    QueryResult, Statement, TransactionOptions,
};

use super::{Relation, expression::setting_compared};
use crate::transaction;

/// A policy on a table of ours.
#[derive(Debug, Clone, FromQueryResult)]
pub(crate) struct Policy {
    /// The table's.
    pub(crate) oid: i64,
    pub(crate) name: String,
    /// A letter; `*` for all.
    pub(crate) command: String,
    pub(crate) is_permissive: bool,
    /// Which rows may be found and which may be written, as the database prints it.
    pub(crate) using_rows: Option<String>,
    pub(crate) check_rows: Option<String>,
    /// For whom it is; `null` for everybody.
    roles: JsonValue,
    /// Those of the roles that are looked at whom it is for, by inheritance too.
    reaches: JsonValue,
}

/// A right that somebody other than the owner has.
#[derive(Debug, Clone, FromQueryResult)]
pub(crate) struct Right {
    /// The table's; of a sequence, that of its table.
    pub(crate) oid: i64,
    /// The sequence, as it stands in SQL.
    pub(crate) sequence: Option<String>,
    /// None for everybody.
    pub(crate) grantee: Option<String>,
    pub(crate) right: String,
    pub(crate) column: Option<String>,
    /// Whether a role that is looked at has it, or can get it.
    pub(crate) is_reached: bool,
}

/// A role that no policy stops, and that a role that is looked at is or can become.
#[derive(Debug, Clone, FromQueryResult)]
pub(crate) struct Power {
    /// Whose it is.
    pub(crate) of: String,
    pub(crate) role: String,
    pub(crate) is_self: bool,
    /// What it may, as ALTER ROLE says it; a predefined role has none.
    pub(crate) attribute: Option<String>,
}

/// A table or schema of ours that a role that is looked at owns, or can become the owner of.
#[derive(Debug, Clone, FromQueryResult)]
pub(crate) struct Owned {
    /// Whose it is.
    pub(crate) of: String,
    pub(crate) owner: String,
    pub(crate) name: String,
    pub(crate) is_schema: bool,
    /// Who owns the table in it.
    pub(crate) tables_owner: String,
}

/// Who is connected.
#[derive(Debug, Clone, FromQueryResult)]
pub(crate) struct Session {
    pub(crate) role: String,
    pub(crate) is_superuser: bool,
    /// Whether it is no login of the application's: see [`WITH`].
    pub(crate) is_foreign: bool,
    /// Whether it has a right to read the table of events.
    pub(crate) may_read: bool,
    /// Whether the setting is not empty.
    pub(crate) is_team_set: bool,
    /// Where it gets a value from: the statements that reset it.
    resets: JsonValue,
}

/// The roles, everybody among them, whose rights on the table `c` the role `e` has. Its owner needs none.
pub(super) const GRANTEES: &str = "coalesce((SELECT json_agg(DISTINCT g.rolname) FROM (\
     SELECT x.grantee, x.privilege_type FROM aclexplode(c.relacl) x UNION ALL SELECT x.grantee, x.privilege_type \
     FROM pg_catalog.pg_attribute k CROSS JOIN LATERAL aclexplode(k.attacl) x WHERE k.attrelid = c.oid) x \
     LEFT JOIN pg_catalog.pg_roles g ON g.oid = x.grantee WHERE x.grantee <> c.relowner \
     AND CASE WHEN x.grantee = 0 THEN true ELSE pg_has_role(e.oid, x.grantee, 'USAGE') END), '[]')";

/// A JSON array of names, as they are.
pub(super) fn names(array: &JsonValue) -> Vec<Option<&str>> {
    array.as_array().into_iter().flatten().map(JsonValue::as_str).collect()
}

impl Policy {
    pub(crate) fn roles(&self) -> Vec<Option<&str>> {
        names(&self.roles)
    }

    pub(crate) fn reaches(&self) -> Vec<&str> {
        names(&self.reaches).into_iter().flatten().collect()
    }
}

impl Session {
    pub(crate) fn resets(&self) -> Vec<&str> {
        names(&self.resets).into_iter().flatten().collect()
    }
}

/// `own`: the tables. `app`: the application's role, as the policies name it. `me`: who is connected, and whether it is no login of
/// the application's: neither its role nor a member of it that inherits from it or can take it (since PostgreSQL 16 whoever
/// creates a role is a member that can do neither); where no policy names that role, a superuser or a member of the tables' owner.
/// The LIMIT takes nothing off: it says how many there are to the planner, which would spend seconds on compiling what it takes for large.
/// `examined`: the roles that are looked at, which are the application's and its login that is connected. A superuser is not:
/// every answer would be yes.
const WITH: &str = "WITH RECURSIVE own AS (SELECT value::bigint::oid AS oid FROM json_array_elements_text($1::text::json) LIMIT json_array_length($1::text::json)), \
     app AS (SELECT DISTINCT r.oid, r.rolname, r.rolsuper FROM own JOIN pg_catalog.pg_policy p ON p.polrelid = own.oid \
     AND p.polname LIKE 'events\\_app\\_%' JOIN pg_catalog.pg_roles r ON r.oid = ANY (p.polroles)), \
     me AS (SELECT r.oid, r.rolname, r.rolsuper, CASE WHEN EXISTS (SELECT FROM app) THEN NOT EXISTS (SELECT FROM app WHERE app.oid = r.oid \
     OR (NOT r.rolsuper AND CASE WHEN current_setting('server_version_num')::int >= 160000 \
     THEN pg_has_role(r.oid, app.oid, 'USAGE') OR pg_has_role(r.oid, app.oid, 'SET') ELSE pg_has_role(r.oid, app.oid, 'MEMBER') END)) \
     ELSE r.rolsuper OR EXISTS (SELECT FROM own JOIN pg_catalog.pg_class c ON c.oid = own.oid AND pg_has_role(r.oid, c.relowner, 'MEMBER')) END \
     AS is_foreign FROM pg_catalog.pg_roles r WHERE r.rolname = current_user), \
     examined AS (SELECT oid, rolname FROM me WHERE NOT rolsuper AND NOT is_foreign \
     UNION SELECT oid, rolname FROM app WHERE NOT rolsuper)";

/// What a question answers that begins with [`WITH`].
pub(crate) async fn select<T: FromQueryResult>(
    db: &impl ConnectionTrait,
    relations: &[Relation],
    sql: &str,
) -> Result<Vec<T>, DbErr> {
    let rows = db.query_all_raw(statement(relations, sql, [])).await?;
    rows.iter().map(|row| T::from_query_result(row, "")).collect()
}

/// A question that begins with [`WITH`]; `$2` and so on are these values.
pub(crate) fn statement<const N: usize>(
    relations: &[Relation],
    sql: &str,
    values: [sea_orm::Value; N],
) -> Statement {
    let oids: Vec<_> = relations.iter().map(|relation| relation.oid).collect();
    let oids = serde_json::json!(oids).to_string();
    let values = std::iter::once(oids.into()).chain(values);
    Statement::from_sql_and_values(DbBackend::Postgres, format!("{WITH} {sql}"), values)
}

/// Asks what the planner takes for large, though it is not, and would spend seconds on compiling. A pooler that refuses a transaction
/// is asked all the same.
pub(super) async fn without_compiling(
    db: &DatabaseConnection,
    statement: Statement,
) -> Result<Vec<QueryResult>, DbErr> {
    let Ok(transaction) = transaction::begin(db, TransactionOptions::default(), None).await else {
        return db.query_all_raw(statement).await;
    };
    transaction.execute_unprepared("SET LOCAL jit = off").await?;
    let rows = transaction.query_all_raw(statement).await?;
    transaction.rollback().await?;
    Ok(rows)
}

pub(crate) async fn policies(
    db: &impl ConnectionTrait,
    relations: &[Relation],
) -> Result<Vec<Policy>, DbErr> {
    const POLICIES: &str = "SELECT p.polrelid::bigint AS oid, p.polname::text AS name, p.polcmd::text AS command, \
         p.polpermissive AS is_permissive, pg_get_expr(p.polqual, p.polrelid) AS using_rows, \
         pg_get_expr(p.polwithcheck, p.polrelid) AS check_rows, \
         (SELECT json_agg(r.rolname) FROM unnest(p.polroles) AS x(oid) LEFT JOIN pg_catalog.pg_roles r ON r.oid = x.oid) AS roles, \
         coalesce((SELECT json_agg(e.rolname) FROM examined e WHERE EXISTS (SELECT FROM unnest(p.polroles) AS x(oid) \
         WHERE CASE WHEN x.oid = 0 THEN true ELSE pg_has_role(e.oid, x.oid, 'USAGE') END)), '[]') AS reaches \
         FROM own JOIN pg_catalog.pg_policy p ON p.polrelid = own.oid ORDER BY p.polrelid, p.polname";
    select(db, relations, POLICIES).await
}

pub(crate) async fn rights(db: &impl ConnectionTrait, relations: &[Relation]) -> Result<Vec<Right>, DbErr> {
    const RIGHTS: &str = "SELECT g.oid::bigint AS oid, g.sequence, r.rolname::text AS grantee, g.privilege_type AS right, \
         g.column_name AS column, EXISTS (SELECT FROM examined e WHERE CASE WHEN g.grantee = 0 THEN true \
         ELSE pg_has_role(e.oid, g.grantee, 'MEMBER') END) AS is_reached FROM (\
         SELECT own.oid, NULL AS sequence, c.relowner, x.grantee, x.privilege_type, NULL AS column_name \
         FROM own JOIN pg_catalog.pg_class c ON c.oid = own.oid CROSS JOIN LATERAL aclexplode(c.relacl) x \
         UNION ALL SELECT own.oid, NULL, c.relowner, x.grantee, x.privilege_type, a.attname::text \
         FROM own JOIN pg_catalog.pg_class c ON c.oid = own.oid JOIN pg_catalog.pg_attribute a ON a.attrelid = own.oid \
         CROSS JOIN LATERAL aclexplode(a.attacl) x \
         UNION ALL SELECT own.oid, format('%I.%I', n.nspname, s.relname), s.relowner, x.grantee, x.privilege_type, NULL \
         FROM own JOIN pg_catalog.pg_depend d ON d.refobjid = own.oid AND d.refclassid = 'pg_class'::regclass \
         AND d.classid = 'pg_class'::regclass AND d.deptype IN ('a', 'i') \
         JOIN pg_catalog.pg_class s ON s.oid = d.objid AND s.relkind = 'S' JOIN pg_catalog.pg_namespace n ON n.oid = s.relnamespace \
         CROSS JOIN LATERAL aclexplode(s.relacl) x) g \
         LEFT JOIN pg_catalog.pg_roles r ON r.oid = g.grantee WHERE g.grantee <> g.relowner ORDER BY 1, 2, 3, 4, 5";
    select(db, relations, RIGHTS).await
}

/// Attributes that lead past all policies, and predefined roles that lead to all data or the server's files.
pub(crate) async fn powers(db: &impl ConnectionTrait, relations: &[Relation]) -> Result<Vec<Power>, DbErr> {
    const POWERS: &str = "SELECT s.rolname::text AS of, r.rolname::text AS role, s.oid = r.oid AS is_self, a.attribute \
         FROM pg_catalog.pg_roles s JOIN pg_catalog.pg_roles r ON r.oid = s.oid OR (NOT s.rolsuper AND pg_has_role(s.oid, r.oid, 'MEMBER')) \
         CROSS JOIN LATERAL (VALUES \
         (r.rolsuper, 'SUPERUSER'), (r.rolbypassrls AND NOT r.rolsuper, 'BYPASSRLS'), \
         (r.rolcreaterole AND NOT r.rolsuper, 'CREATEROLE'), (r.rolreplication AND NOT r.rolsuper, 'REPLICATION'), \
         (r.rolname IN ('pg_read_server_files', 'pg_write_server_files', 'pg_execute_server_program', 'pg_read_all_data', 'pg_write_all_data'), NULL)) \
         AS a(is_on, attribute) WHERE a.is_on AND (s.oid IN (SELECT oid FROM app) \
         OR (s.rolname IN (current_user, session_user) AND NOT (SELECT is_foreign FROM me))) \
         ORDER BY 1, 2, 4";
    select(db, relations, POWERS).await
}

/// The tables and schemas that the roles that are looked at own or can become the owners of.
pub(crate) async fn owned(db: &impl ConnectionTrait, relations: &[Relation]) -> Result<Vec<Owned>, DbErr> {
    const OWNED: &str = "SELECT e.rolname::text AS of, pg_get_userbyid(o.owner)::text AS owner, o.name, o.is_schema, \
         pg_get_userbyid(c.relowner)::text AS tables_owner \
         FROM examined e CROSS JOIN own JOIN pg_catalog.pg_class c ON c.oid = own.oid \
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace CROSS JOIN LATERAL (VALUES \
         (c.relowner, format('%I.%I', n.nspname, c.relname), false), (n.nspowner, quote_ident(n.nspname), true)) AS o(owner, name, is_schema) \
         WHERE pg_has_role(e.oid, o.owner, 'MEMBER') ORDER BY o.is_schema, e.rolname, c.oid";
    select(db, relations, OWNED).await
}

/// Who is connected, and whether a team is set before anybody has set one.
pub(crate) async fn session(
    db: &impl ConnectionTrait,
    relations: &[Relation],
    setting: &str,
) -> Result<Session, DbErr> {
    const SESSION: &str = "SELECT me.rolname::text AS role, me.rolsuper AS is_superuser, me.is_foreign, \
         coalesce(has_any_column_privilege(to_regclass('events')::oid, 'SELECT'), false) AS may_read, \
         coalesce(current_setting($2, true), '') <> '' AS is_team_set, coalesce((SELECT json_agg(concat(\
         CASE WHEN r.rolname IS NULL AND d.datname IS NULL THEN 'ALTER ROLE ALL' WHEN r.rolname IS NULL THEN format('ALTER DATABASE %I', d.datname) \
         ELSE format('ALTER ROLE %I', r.rolname) || coalesce(' IN DATABASE ' || quote_ident(d.datname), '') END, ' RESET ', $2::text)) \
         FROM pg_catalog.pg_db_role_setting s LEFT JOIN pg_catalog.pg_database d ON d.oid = s.setdatabase \
         LEFT JOIN pg_catalog.pg_roles r ON r.oid = s.setrole CROSS JOIN LATERAL unnest(s.setconfig) AS x(entry) \
         WHERE lower(split_part(x.entry, '=', 1)) = lower($2) AND s.setdatabase IN (0, (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())) \
         AND (s.setrole = 0 OR s.setrole IN (SELECT oid FROM examined) \
         OR (NOT me.is_foreign AND r.rolname IN (current_user, session_user)))), '[]') AS resets FROM me";
    let row = db.query_one_raw(statement(relations, SESSION, [setting.into()])).await?;
    let row = row.ok_or_else(|| DbErr::RecordNotFound("the session did not answer".to_owned()))?;
    Session::from_query_result(&row, "")
}

/// The setting that the policies of the table of events compare: those for whoever is connected before others. None where
/// there are none, or they compare none.
pub(crate) async fn team_setting(db: &impl ConnectionTrait) -> Result<Option<String>, DbErr> {
    const CONDITIONS: &str = "SELECT condition FROM pg_catalog.pg_policy p \
         CROSS JOIN LATERAL (VALUES (pg_get_expr(p.polqual, p.polrelid)), (pg_get_expr(p.polwithcheck, p.polrelid))) AS x(condition) \
         WHERE p.polrelid = to_regclass('events') AND condition IS NOT NULL ORDER BY \
         EXISTS (SELECT FROM unnest(p.polroles) AS r(oid) WHERE CASE WHEN r.oid = 0 THEN true ELSE pg_has_role(r.oid, 'USAGE') END) DESC, \
         p.polname LIKE 'events\\_app\\_%' DESC, p.polname";
    let rows = db.query_all_raw(Statement::from_string(DbBackend::Postgres, CONDITIONS)).await?;
    let conditions = rows.iter().map(|row| row.try_get::<String>("", "condition"));
    let conditions = conditions.collect::<Result<Vec<_>, _>>()?;
    Ok(conditions.iter().find_map(|condition| setting_compared(condition, "team_id")))
}

/// Where policies tell that there is a log, though its table was not found.
#[derive(Debug, Clone, FromQueryResult)]
pub(crate) struct Elsewhere {
    /// A table with policies that keep teams apart.
    pub(crate) table: String,
    /// Its schema, as it stands in SQL.
    pub(crate) schema: String,
    /// Whether it is named as the log is.
    pub(crate) is_log: bool,
    /// Whether the role that is connected may use its schema.
    pub(crate) may_use: bool,
    /// The role that is connected.
    pub(crate) role: String,
}

/// A table of any schema whose policies are named as the library names them, or compare this setting: that of a log before others.
pub(crate) async fn log_elsewhere(
    db: &impl ConnectionTrait,
    setting: &str,
) -> Result<Option<Elsewhere>, DbErr> {
    const POLICIES: &str = "SELECT format('%I.%I', n.nspname, c.relname) AS table, quote_ident(n.nspname) AS schema, c.relname = 'events' AS is_log, \
         has_schema_privilege(n.oid, 'USAGE') AS may_use, current_user::text AS role \
         FROM pg_catalog.pg_policy p JOIN pg_catalog.pg_class c ON c.oid = p.polrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE p.polname LIKE 'events\\_app\\_%' OR strpos(concat(pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid)), \
         concat('current_setting(', quote_literal($1::text))) > 0 ORDER BY c.relname = 'events' DESC, 1 LIMIT 1";
    let select = Statement::from_sql_and_values(DbBackend::Postgres, POLICIES, [setting.into()]);
    let row = db.query_one_raw(select).await?;
    row.map(|row| Elsewhere::from_query_result(&row, "")).transpose()
}

/// What is to be known of the role that work for all teams takes.
#[derive(Debug, Clone, FromQueryResult)]
pub(crate) struct AllTeamsRole {
    pub(crate) is_there: bool,
    /// Whether the role that was named as its taker can take it.
    pub(crate) can_be_taken: bool,
    pub(crate) sees_all: bool,
    /// Whether no policy stops it, or it owns the table of events or can become its owner: who takes it could let itself see and
    /// change everything.
    pub(crate) is_powerful: bool,
    /// Whether a membership says itself what it is for: from PostgreSQL 16 on.
    pub(crate) is_per_grant: bool,
}

pub(crate) async fn all_teams_role(
    db: &impl ConnectionTrait,
    role: &str,
    taker: &str,
) -> Result<AllTeamsRole, DbErr> {
    const ROLE: &str = "SELECT r.oid IS NOT NULL AS is_there, coalesce(CASE WHEN v.is_16 THEN pg_has_role($2::text::name, r.oid, 'SET') \
         ELSE pg_has_role($2::text::name, r.oid, 'MEMBER') END, false) AS can_be_taken, v.is_16 AS is_per_grant, \
         coalesce(r.rolsuper OR r.rolbypassrls, false) OR EXISTS (SELECT FROM pg_catalog.pg_policy p CROSS JOIN LATERAL unnest(p.polroles) AS x(oid) \
         WHERE p.polrelid = to_regclass('events') AND p.polpermissive AND p.polcmd IN ('r', '*') AND pg_get_expr(p.polqual, p.polrelid) = 'true' \
         AND CASE WHEN r.oid IS NULL THEN false WHEN x.oid = 0 THEN true ELSE pg_has_role(r.oid, x.oid, 'USAGE') END) AS sees_all, \
         coalesce(r.rolsuper OR r.rolbypassrls OR r.rolcreaterole OR r.rolreplication OR pg_has_role(r.oid, (SELECT c.relowner \
         FROM pg_catalog.pg_class c WHERE c.oid = to_regclass('events')), 'MEMBER'), false) AS is_powerful \
         FROM (SELECT current_setting('server_version_num')::int >= 160000 AS is_16) v \
         LEFT JOIN pg_catalog.pg_roles r ON r.rolname = $1::text";
    let asked = Statement::from_sql_and_values(DbBackend::Postgres, ROLE, [role.into(), taker.into()]);
    let row = db.query_one_raw(asked).await?;
    let row = row.ok_or_else(|| DbErr::RecordNotFound("the catalog did not answer".to_owned()))?;
    AllTeamsRole::from_query_result(&row, "")
}

/// Whether the statements of a transaction meet one session, and the team that the first sets holds for the second. A pooler
/// that hands out connections by the statement breaks that, or refuses to begin.
pub(crate) async fn keeps_transactions(db: &DatabaseConnection, setting: &str) -> Result<bool, DbErr> {
    match begin_and_read_back(db, setting).await {
        Err(error) if error.to_string().contains("statement pooling mode") => Ok(false),
        other => other,
    }
}

async fn begin_and_read_back(db: &DatabaseConnection, setting: &str) -> Result<bool, DbErr> {
    let transaction = transaction::begin(db, TransactionOptions::default(), None).await?;
    let probe = uuid::Uuid::now_v7().to_string(); // nobody's team
    let set = "SELECT set_config($1, $2, true) AS team, pg_backend_pid() AS session";
    let set = read_session(&transaction, set, [setting.into(), probe.as_str().into()]).await?;
    let read = "SELECT current_setting($1, true) AS team, pg_backend_pid() AS session";
    let read = read_session(&transaction, read, [setting.into()]).await?;
    transaction.rollback().await?;
    Ok(set == read && set.0.is_some_and(|team| !team.is_empty()))
}

async fn read_session(
    transaction: &DatabaseTransaction,
    sql: &str,
    values: impl IntoIterator<Item = sea_orm::Value>,
) -> Result<(Option<String>, i32), DbErr> {
    let statement = Statement::from_sql_and_values(DbBackend::Postgres, sql, values);
    let row = transaction.query_one_raw(statement).await?;
    let row = row.ok_or_else(|| DbErr::RecordNotFound("the session did not answer".to_owned()))?;
    Ok((row.try_get("", "team")?, row.try_get("", "session")?))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use sea_orm::{MockDatabase, RuntimeErr, Value};

    use super::*;

    fn session(team: &str, pid: i32) -> BTreeMap<&'static str, Value> {
        BTreeMap::from([("team", team.into()), ("session", pid.into())])
    }

    /// As a pooler answers the two statements of a transaction.
    async fn check(answers: [(&str, i32); 2], expected: bool) {
        let answers = answers.map(|(team, pid)| [session(team, pid)]);
        let db = MockDatabase::new(DbBackend::Postgres).append_query_results(answers).into_connection();
        assert_eq!(keeps_transactions(&db, "app.team_id").await.ok(), Some(expected));
    }

    #[tokio::test]
    async fn statements_that_meet_several_sessions_are_noticed() {
        check([("probe", 1), ("probe", 1)], true).await;
        check([("probe", 1), ("probe", 2)], false).await; // somebody else's, of the same name
        check([("probe", 1), ("", 1)], false).await;
        check([("", 1), ("", 1)], false).await;
    }

    #[tokio::test]
    async fn a_pooler_that_refuses_to_begin_is_none_to_use_and_other_errors_are_errors() {
        for (said, expected) in
            [("transaction blocks not allowed in statement pooling mode", Some(false)), ("gone", None)]
        {
            let error = DbErr::Query(RuntimeErr::Internal(said.to_owned()));
            let db = MockDatabase::new(DbBackend::Postgres).append_query_errors([error]).into_connection();
            assert_eq!(keeps_transactions(&db, "app.team_id").await.ok(), expected);
        }
    }
}
