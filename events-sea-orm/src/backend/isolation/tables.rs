//! The application's own tracked tables, and what keeps the roles that are looked at to one team of each.

use sea_orm::{ConnectionTrait, DbErr, FromQueryResult, JsonValue};
use serde::Deserialize;
use serde_json::json;

use super::{Relation, inspect};

/// A tracked table, or a partition of one, as the model names it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Named<'a> {
    pub(crate) schema: Option<&'a str>,
    pub(crate) table: &'a str,
    /// The column with the team.
    pub(crate) column: &'a str,
}

/// What the catalog says of it for one of the roles that are looked at, and may read or write it.
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
    /// Whether that role is the owner or can become it.
    pub(crate) is_own: bool,
    pub(crate) may_truncate: bool,
    /// Those that are for this role, by inheritance too.
    pub(crate) policies: Vec<TablePolicy>,
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
    is_own: bool,
    may_truncate: bool,
    policies: JsonValue,
}

/// A partition of a tracked table is asked by its own name past what its parent says.
const TABLES: &str = ", wanted AS (SELECT w.n, w.col, t.oid FROM json_to_recordset($2::text::json) AS w(n bigint, s text, t text, col text) \
     CROSS JOIN LATERAL (SELECT to_regclass(concat(quote_ident(w.s) || '.', quote_ident(w.t)))::oid AS oid) t WHERE t.oid IS NOT NULL), \
     tree AS (SELECT n, col, oid, false AS is_partition FROM wanted UNION ALL \
     SELECT tree.n, tree.col, i.inhrelid, true FROM tree JOIN pg_catalog.pg_inherits i ON i.inhparent = tree.oid) \
     SELECT tree.n AS place, tree.is_partition, format('%I.%I', n.nspname, c.relname) AS name, pg_get_userbyid(c.relowner)::text AS owner, \
     format_type(a.atttypid, NULL) AS column_type, c.relrowsecurity AS is_enabled, c.relforcerowsecurity AS is_forced, e.rolname::text AS role, \
     pg_has_role(e.oid, c.relowner, 'MEMBER') AS is_own, has_table_privilege(e.oid, c.oid, 'TRUNCATE') AS may_truncate, \
     coalesce((SELECT json_agg(json_build_object('name', p.polname, 'command', p.polcmd, 'is_permissive', p.polpermissive, \
     'using_rows', pg_get_expr(p.polqual, p.polrelid), 'check_rows', pg_get_expr(p.polwithcheck, p.polrelid), \
     'roles', (SELECT json_agg(r.rolname) FROM unnest(p.polroles) AS x(oid) LEFT JOIN pg_catalog.pg_roles r ON r.oid = x.oid)) ORDER BY p.polname) \
     FROM pg_catalog.pg_policy p WHERE p.polrelid = c.oid AND EXISTS (SELECT FROM unnest(p.polroles) AS x(oid) \
     WHERE CASE WHEN x.oid = 0 THEN true ELSE pg_has_role(e.oid, x.oid, 'USAGE') END)), '[]') AS policies \
     FROM tree JOIN pg_catalog.pg_class c ON c.oid = tree.oid AND c.relkind IN ('r', 'p') \
     JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
     JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attname = tree.col AND NOT a.attisdropped \
     CROSS JOIN examined e WHERE has_any_column_privilege(e.oid, c.oid, 'SELECT, INSERT, UPDATE') \
     OR has_table_privilege(e.oid, c.oid, 'DELETE, TRUNCATE') ORDER BY tree.n, tree.is_partition, c.oid, e.rolname";

pub(crate) async fn read(
    db: &impl ConnectionTrait,
    relations: &[Relation],
    tables: &[Named<'_>],
) -> Result<Vec<TeamTable>, DbErr> {
    if tables.is_empty() {
        return Ok(Vec::new());
    }
    let named = tables.iter().enumerate();
    let named = named.map(|(n, of)| json!({"n": n, "s": of.schema, "t": of.table, "col": of.column}));
    let named = JsonValue::Array(named.collect()).to_string();
    let statement = inspect::statement(relations, TABLES, [named.into()]);
    let rows = db.query_all_raw(statement).await?;
    rows.iter().map(|row| TeamTable::of(Row::from_query_result(row, "")?)).collect()
}

impl TeamTable {
    fn of(row: Row) -> Result<Self, DbErr> {
        let place = usize::try_from(row.place).map_err(|error| DbErr::Type(error.to_string()))?;
        let policies =
            serde_json::from_value(row.policies).map_err(|error| DbErr::Json(error.to_string()))?;
        let Row {
            is_partition,
            name,
            owner,
            column_type,
            is_enabled,
            is_forced,
            role,
            is_own,
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
            is_own,
            may_truncate,
            policies,
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
