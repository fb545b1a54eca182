//! The application's own tracked tables, and what keeps the roles that are looked at to one team of each.

use sea_orm::{ConnectionTrait, DbErr, FromQueryResult, JsonValue};
use serde::Deserialize;
use serde_json::json;

use super::{
    Relation,
    expression::setting_compared,
    inspect::{self, GRANTEES},
};

/// A tracked table, or a partition of one, as the model names it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Named<'a> {
    pub(crate) schema: Option<&'a str>,
    pub(crate) table: &'a str,
    /// The column with the team.
    pub(crate) column: &'a str,
}

/// What the catalog says of it for one of the roles that are looked at or are for all teams, and may read or write it.
#[derive(Debug, Clone)]
pub(crate) struct TeamTable {
    /// Its place among those that were asked for.
    pub(crate) place: usize,
    pub(crate) is_partition: bool,
    /// With its schema, as it stands in SQL.
    pub(crate) name: String,
    pub(crate) owner: String,
    pub(crate) column_type: String,
    pub(crate) is_enabled: bool,
    pub(crate) is_forced: bool,
    /// Who may read or write it.
    pub(crate) role: String,
    /// Whether that role is one for all teams, and none of those that are looked at.
    pub(crate) is_for_all: bool,
    /// Whether that role is the owner or can become it.
    pub(crate) is_own: bool,
    pub(crate) may_read: bool,
    pub(crate) may_truncate: bool,
    /// Whose rights on it the role has; nobody for everybody.
    pub(crate) grantees: Vec<Option<String>>,
    /// Those that are for this role, by inheritance too.
    pub(crate) policies: Vec<TablePolicy>,
    /// Those that are for others alone.
    pub(crate) of_others: Vec<TablePolicy>,
}

/// A policy on such a table.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct TablePolicy {
    pub(crate) name: String,
    /// A letter; `*` for all.
    pub(crate) command: String,
    pub(crate) is_permissive: bool,
    pub(crate) using_rows: Option<String>,
    pub(crate) check_rows: Option<String>,
    /// For whom it is; nobody for everybody.
    pub(crate) roles: Vec<Option<String>>,
    /// Whether it is for the role in question, by inheritance too.
    reaches: bool,
}

#[derive(FromQueryResult)]
struct Row {
    place: i64,
    is_partition: bool,
    name: String,
    owner: String,
    column_type: String,
    is_enabled: bool,
    is_forced: bool,
    role: String,
    is_for_all: bool,
    is_own: bool,
    may_read: bool,
    may_truncate: bool,
    grantees: JsonValue,
    policies: JsonValue,
}

/// The tables that `$2` names, with their partitions.
pub(super) const TREE: &str = ", wanted AS (SELECT w.n, w.col, t.oid FROM json_to_recordset($2::text::json) AS w(n bigint, s text, t text, col text) \
     CROSS JOIN LATERAL (SELECT to_regclass(concat(quote_ident(w.s) || '.', quote_ident(w.t)))::oid AS oid) t WHERE t.oid IS NOT NULL), \
     tree AS (SELECT n, col, oid, false AS is_partition FROM wanted UNION ALL \
     SELECT tree.n, tree.col, i.inhrelid, true FROM tree JOIN pg_catalog.pg_inherits i ON i.inhparent = tree.oid)";

/// What [`TREE`] takes.
pub(super) fn wanted(tables: &[Named<'_>]) -> String {
    let named = tables.iter().enumerate();
    let named = named.map(|(n, of)| json!({"n": n, "s": of.schema, "t": of.table, "col": of.column}));
    JsonValue::Array(named.collect()).to_string()
}

/// A partition of a tracked table is asked by its own name past what its parent says. Roles for all teams that no policy stops
/// are not looked at.
fn select() -> String {
    format!(
        "{TREE}, \
     asked AS (SELECT oid, rolname, false AS is_for_all FROM examined UNION ALL SELECT oid, rolname, true FROM pg_catalog.pg_roles \
     WHERE rolname IN (SELECT value FROM json_array_elements_text($3::text::json)) AND NOT rolsuper AND NOT rolbypassrls \
     AND oid NOT IN (SELECT oid FROM examined)) \
     SELECT tree.n AS place, tree.is_partition, format('%I.%I', n.nspname, c.relname) AS name, pg_get_userbyid(c.relowner)::text AS owner, \
     format_type(a.atttypid, NULL) AS column_type, c.relrowsecurity AS is_enabled, c.relforcerowsecurity AS is_forced, e.rolname::text AS role, \
     e.is_for_all, pg_has_role(e.oid, c.relowner, 'MEMBER') AS is_own, has_any_column_privilege(e.oid, c.oid, 'SELECT') AS may_read, \
     has_table_privilege(e.oid, c.oid, 'TRUNCATE') AS may_truncate, {GRANTEES} AS grantees, \
     coalesce((SELECT json_agg(json_build_object('name', p.polname, 'command', p.polcmd, 'is_permissive', p.polpermissive, \
     'using_rows', pg_get_expr(p.polqual, p.polrelid), 'check_rows', pg_get_expr(p.polwithcheck, p.polrelid), \
     'roles', (SELECT json_agg(r.rolname) FROM unnest(p.polroles) AS x(oid) LEFT JOIN pg_catalog.pg_roles r ON r.oid = x.oid), \
     'reaches', EXISTS (SELECT FROM unnest(p.polroles) AS x(oid) \
     WHERE CASE WHEN x.oid = 0 THEN true ELSE pg_has_role(e.oid, x.oid, 'USAGE') END)) ORDER BY p.polname) \
     FROM pg_catalog.pg_policy p WHERE p.polrelid = c.oid), '[]') AS policies \
     FROM tree JOIN pg_catalog.pg_class c ON c.oid = tree.oid AND c.relkind IN ('r', 'p') \
     JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
     JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attname = tree.col AND NOT a.attisdropped \
     CROSS JOIN asked e WHERE has_any_column_privilege(e.oid, c.oid, 'SELECT, INSERT, UPDATE') \
     OR has_table_privilege(e.oid, c.oid, 'DELETE, TRUNCATE') ORDER BY tree.n, tree.is_partition, c.oid, e.rolname"
    )
}

/// What the catalog says of these tables, for the roles that are looked at and for those for all teams.
pub(crate) async fn read(
    db: &impl ConnectionTrait,
    relations: &[Relation],
    tables: &[Named<'_>],
    for_all: &[&str],
) -> Result<Vec<TeamTable>, DbErr> {
    if tables.is_empty() {
        return Ok(Vec::new());
    }
    let values = [wanted(tables).into(), json!(for_all).to_string().into()];
    let statement = inspect::statement(relations, &select(), values);
    let rows = db.query_all_raw(statement).await?;
    rows.iter().map(|row| TeamTable::of(Row::from_query_result(row, "")?)).collect()
}

/// A table whose policies keep it to one team, as far as their words tell.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) schema: String,
    pub(crate) table: String,
    /// The column that they compare.
    pub(crate) column: String,
}

/// The tables of the application's own that are kept to one team by their policies: one compares a column with this setting, or
/// is named as the library names them and compares any. A partition is looked at with its table.
pub(crate) async fn known_by_policies(
    db: &impl ConnectionTrait,
    relations: &[Relation],
    setting: &str,
) -> Result<Vec<Known>, DbErr> {
    const POLICIES: &str = "SELECT n.nspname::text AS schema, c.relname::text AS name, p.polname LIKE 'events\\_app\\_%' AS is_ours, \
         x.condition, (SELECT json_agg(a.attname ORDER BY a.attnum) FROM pg_catalog.pg_attribute a \
         WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped) AS columns \
         FROM pg_catalog.pg_policy p JOIN pg_catalog.pg_class c ON c.oid = p.polrelid AND c.relkind IN ('r', 'p') \
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace CROSS JOIN LATERAL \
         (VALUES (pg_get_expr(p.polqual, p.polrelid)), (pg_get_expr(p.polwithcheck, p.polrelid))) AS x(condition) \
         WHERE c.oid NOT IN (SELECT oid FROM own) AND NOT EXISTS (SELECT FROM pg_catalog.pg_inherits i WHERE i.inhrelid = c.oid) \
         AND x.condition LIKE '%current_setting(%' ORDER BY 1, 2, p.polname";
    let mut known: Vec<Known> = Vec::new();
    for policy in inspect::select::<Compared>(db, relations, POLICIES).await? {
        let Compared { schema, name, is_ours, condition, columns } = policy;
        if known.iter().any(|table| table.schema == schema && table.table == name) {
            continue;
        }
        let is_team = |column: &&str| {
            setting_compared(&condition, column).is_some_and(|compared| is_ours || compared == setting)
        };
        let columns = columns.as_array().into_iter().flatten().filter_map(JsonValue::as_str);
        if let Some(column) = columns.into_iter().find(is_team) {
            known.push(Known { schema, table: name, column: column.to_owned() });
        }
    }
    Ok(known)
}

/// A condition of a policy that compares a setting, and the columns of its table.
#[derive(FromQueryResult)]
struct Compared {
    schema: String,
    name: String,
    is_ours: bool,
    condition: String,
    columns: JsonValue,
}

impl TeamTable {
    fn of(row: Row) -> Result<Self, DbErr> {
        let place = usize::try_from(row.place).map_err(|error| DbErr::Type(error.to_string()))?;
        let unread = |error: serde_json::Error| DbErr::Json(error.to_string());
        let policies: Vec<TablePolicy> = serde_json::from_value(row.policies).map_err(unread)?;
        let (policies, of_others) = policies.into_iter().partition(|policy| policy.reaches);
        let grantees = serde_json::from_value(row.grantees).map_err(unread)?;
        let Row {
            is_partition,
            name,
            owner,
            column_type,
            is_enabled,
            is_forced,
            role,
            is_for_all,
            is_own,
            may_read,
            may_truncate,
            ..
        } = row;
        Ok(Self {
            place,
            is_partition,
            name,
            owner,
            column_type,
            is_enabled,
            is_forced,
            role,
            is_for_all,
            is_own,
            may_read,
            may_truncate,
            grantees,
            policies,
            of_others,
        })
    }
}

impl TablePolicy {
    /// The conditions on rows for this command, as PostgreSQL applies them.
    pub(crate) fn conditions(&self, command: super::Command) -> Vec<&str> {
        if self.command != "*" && self.command != command.letter() {
            return Vec::new();
        }
        let (finds, writes) = command.has();
        let using = finds.then_some(self.using_rows.as_deref()).flatten();
        // Where nothing is said of what may be written, it is what may be found.
        let check = writes.then(|| self.check_rows.as_deref().or(self.using_rows.as_deref())).flatten();
        using.into_iter().chain(check).collect()
    }
}
