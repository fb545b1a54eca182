//! The application's own tracked tables, and what keeps the roles that are looked at to one team of each.

use sea_orm::{ConnectionTrait, DatabaseConnection, DbErr, FromQueryResult, JsonValue};
use serde::Deserialize;
use serde_json::json;

use super::{
    Command, Relation,
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
    pub(crate) part: Part,
    /// With its schema, as it stands in SQL.
    pub(crate) name: String,
    pub(crate) owner: String,
    /// The type of the team's column; of a domain over text, that text. Empty where there is none, as in a parent.
    pub(crate) column_type: String,
    /// The collation of the team's column, if it takes different texts for the same.
    pub(crate) loose_collation: Option<String>,
    /// Whether the team's column is the key: it is the table of the teams then.
    pub(crate) is_key: bool,
    /// As it stands in SQL.
    pub(crate) schema: String,
    pub(crate) may_use_schema: bool,
    pub(crate) is_enabled: bool,
    pub(crate) is_forced: bool,
    /// Who may read or write it.
    pub(crate) role: String,
    /// Whether that role is one for all teams, and none of those that are looked at.
    pub(crate) is_for_all: bool,
    /// Whether that role is the owner or can become it.
    pub(crate) is_own: bool,
    /// What the role may do with rows: the letters of the commands.
    rights: String,
    pub(crate) may_truncate: bool,
    /// Whose rights on it the role has; nobody for everybody.
    pub(crate) grantees: Vec<Option<String>>,
    /// Those that are for this role, by inheritance too.
    pub(crate) policies: Vec<TablePolicy>,
    /// Those that are for others alone.
    pub(crate) of_others: Vec<TablePolicy>,
}

/// What it is of what the model names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// The table itself.
    Table,
    /// A part of it that has a name of its own.
    Partition,
    /// What it is a part of, or inherits to.
    Parent,
    /// No table: no policy can be on it.
    Other,
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
    part: String,
    name: String,
    owner: String,
    column_type: String,
    loose_collation: Option<String>,
    is_key: bool,
    schema: String,
    may_use_schema: bool,
    is_enabled: bool,
    is_forced: bool,
    role: String,
    is_for_all: bool,
    is_own: bool,
    rights: String,
    may_truncate: bool,
    grantees: JsonValue,
    policies: JsonValue,
}

/// `wanted`: what `$2` names, as the search path finds it (`to_regclass` is an error where the role may not use the schema). `tree`:
/// with its partitions. `family`: with what it inherits from too, whose rows are the table's. `below`: what a view among them asks.
pub(super) const TREE: &str = ", wanted AS (SELECT w.n, w.col, t.oid FROM json_to_recordset($2::text::json) AS w(n bigint, s text, t text, col text) \
     CROSS JOIN LATERAL (SELECT c.oid FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
     WHERE c.relname = w.t AND CASE WHEN w.s IS NULL THEN n.nspname = ANY (current_schemas(true)) ELSE n.nspname = w.s END \
     ORDER BY array_position(current_schemas(true), n.nspname) LIMIT 1) t LIMIT json_array_length($2::text::json)), \
     tree AS (SELECT n, col, oid, 'table'::text AS part FROM wanted UNION ALL \
     SELECT tree.n, tree.col, i.inhrelid, 'partition' FROM tree JOIN pg_catalog.pg_inherits i ON i.inhparent = tree.oid), \
     above AS (SELECT w.n, w.col, i.inhparent AS oid FROM wanted w JOIN pg_catalog.pg_inherits i ON i.inhrelid = w.oid \
     UNION SELECT above.n, above.col, i.inhparent FROM above JOIN pg_catalog.pg_inherits i ON i.inhrelid = above.oid), \
     family AS (SELECT n, col, oid, part FROM tree UNION ALL SELECT n, col, oid, 'parent' FROM above WHERE oid NOT IN (SELECT oid FROM tree)), \
     below AS (SELECT w.n, w.col, w.oid FROM wanted w JOIN pg_catalog.pg_class c ON c.oid = w.oid AND c.relkind = 'v' \
     UNION SELECT below.n, below.col, d.refobjid FROM below JOIN pg_catalog.pg_rewrite w ON w.ev_class = below.oid \
     JOIN pg_catalog.pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = w.oid AND d.refclassid = 'pg_class'::regclass \
     AND d.refobjid <> below.oid)";

/// What [`TREE`] takes.
pub(super) fn wanted(tables: &[Named<'_>]) -> String {
    let named = tables.iter().enumerate();
    let named = named.map(|(n, of)| json!({"n": n, "s": of.schema, "t": of.table, "col": of.column}));
    JsonValue::Array(named.collect()).to_string()
}

/// A partition of a tracked table is asked by its own name past what its parent says, and what the table inherits from past what
/// the table says. A view is held if a table below it is under row-level security, and each that has the team's column; whether it
/// asks as its reader, the look at views finds. Roles for all teams that no policy stops are not looked at.
fn select() -> String {
    format!(
        "{TREE}, \
     asked AS (SELECT oid, rolname, false AS is_for_all FROM examined UNION ALL SELECT oid, rolname, true FROM pg_catalog.pg_roles \
     WHERE rolname IN (SELECT value FROM json_array_elements_text($3::text::json)) AND NOT rolsuper AND NOT rolbypassrls \
     AND oid NOT IN (SELECT oid FROM examined)), \
     parts AS (SELECT f.n, f.col, f.oid, CASE WHEN f.part = 'table' AND c.relkind IN ('v', 'm', 'f') THEN 'other' ELSE f.part END AS part \
     FROM family f JOIN pg_catalog.pg_class c ON c.oid = f.oid AND (c.relkind IN ('r', 'p') OR (f.part = 'partition' AND c.relkind = 'f') \
     OR (f.part = 'table' AND (c.relkind IN ('m', 'f') OR (c.relkind = 'v' AND (\
     NOT EXISTS (SELECT FROM below b JOIN pg_catalog.pg_class t ON t.oid = b.oid AND t.relkind IN ('r', 'p') AND t.relrowsecurity WHERE b.n = f.n) \
     OR EXISTS (SELECT FROM below b JOIN pg_catalog.pg_class t ON t.oid = b.oid AND t.relkind IN ('r', 'p', 'm', 'f') AND NOT t.relrowsecurity \
     JOIN pg_catalog.pg_attribute k ON k.attrelid = t.oid AND k.attname = b.col AND NOT k.attisdropped WHERE b.n = f.n))))))) \
     SELECT f.n AS place, f.part, format('%I.%I', n.nspname, c.relname) AS name, pg_get_userbyid(c.relowner)::text AS owner, \
     coalesce(format_type(CASE WHEN ct.typtype = 'd' AND ct.typbasetype IN ('text'::regtype, 'varchar'::regtype) THEN ct.typbasetype ELSE ct.oid END, NULL), '') AS column_type, \
     (SELECT format('%I.%I', kn.nspname, k.collname) FROM pg_catalog.pg_collation k JOIN pg_catalog.pg_namespace kn ON kn.oid = k.collnamespace \
     WHERE k.oid = a.attcollation AND NOT k.collisdeterministic) AS loose_collation, \
     EXISTS (SELECT FROM pg_catalog.pg_index i WHERE i.indrelid = c.oid AND i.indisprimary AND i.indnkeyatts = 1 AND i.indkey[0] = a.attnum) AS is_key, \
     quote_ident(n.nspname) AS schema, has_schema_privilege(e.oid, n.oid, 'USAGE') AS may_use_schema, \
     c.relrowsecurity AS is_enabled, c.relforcerowsecurity AS is_forced, e.rolname::text AS role, \
     e.is_for_all, pg_has_role(e.oid, c.relowner, 'MEMBER') AS is_own, concat(\
     CASE WHEN has_any_column_privilege(e.oid, c.oid, 'SELECT') THEN 'r' END, CASE WHEN has_any_column_privilege(e.oid, c.oid, 'INSERT') THEN 'a' END, \
     CASE WHEN has_any_column_privilege(e.oid, c.oid, 'UPDATE') THEN 'w' END, CASE WHEN has_table_privilege(e.oid, c.oid, 'DELETE') THEN 'd' END) AS rights, \
     has_table_privilege(e.oid, c.oid, 'TRUNCATE') AS may_truncate, {GRANTEES} AS grantees, \
     coalesce((SELECT json_agg(json_build_object('name', p.polname, 'command', p.polcmd, 'is_permissive', p.polpermissive, \
     'using_rows', pg_get_expr(p.polqual, p.polrelid), 'check_rows', pg_get_expr(p.polwithcheck, p.polrelid), \
     'roles', (SELECT json_agg(r.rolname) FROM unnest(p.polroles) AS x(oid) LEFT JOIN pg_catalog.pg_roles r ON r.oid = x.oid), \
     'reaches', EXISTS (SELECT FROM unnest(p.polroles) AS x(oid) \
     WHERE CASE WHEN x.oid = 0 THEN true ELSE pg_has_role(e.oid, x.oid, 'USAGE') END)) ORDER BY p.polname) \
     FROM pg_catalog.pg_policy p WHERE p.polrelid = c.oid), '[]') AS policies \
     FROM parts f JOIN pg_catalog.pg_class c ON c.oid = f.oid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
     LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attname = f.col AND NOT a.attisdropped \
     LEFT JOIN pg_catalog.pg_type ct ON ct.oid = a.atttypid \
     CROSS JOIN asked e WHERE (a.attnum IS NOT NULL OR f.part = 'parent') \
     AND (has_any_column_privilege(e.oid, c.oid, 'SELECT, INSERT, UPDATE') OR has_table_privilege(e.oid, c.oid, 'DELETE, TRUNCATE')) \
     ORDER BY f.n, f.part <> 'table', c.oid, e.rolname"
    )
}

/// What the catalog says of these tables, for the roles that are looked at and for those for all teams.
pub(crate) async fn read(
    db: &DatabaseConnection,
    relations: &[Relation],
    tables: &[Named<'_>],
    for_all: &[&str],
) -> Result<Vec<TeamTable>, DbErr> {
    if tables.is_empty() {
        return Ok(Vec::new());
    }
    let values = [wanted(tables).into(), json!(for_all).to_string().into()];
    let statement = inspect::statement(relations, &select(), values);
    let rows = inspect::without_compiling(db, statement).await?;
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
        let part = match row.part.as_str() {
            "table" => Part::Table,
            "partition" => Part::Partition,
            "parent" => Part::Parent,
            _ => Part::Other,
        };
        Ok(Self {
            place,
            part,
            name: row.name,
            owner: row.owner,
            column_type: row.column_type,
            loose_collation: row.loose_collation,
            is_key: row.is_key,
            schema: row.schema,
            may_use_schema: row.may_use_schema,
            is_enabled: row.is_enabled,
            is_forced: row.is_forced,
            role: row.role,
            is_for_all: row.is_for_all,
            is_own: row.is_own,
            rights: row.rights,
            may_truncate: row.may_truncate,
            grantees,
            policies,
            of_others,
        })
    }

    /// Whether the role has a right on the table, or a column of it, that this command takes.
    pub(crate) fn may(&self, command: Command) -> bool {
        self.rights.contains(command.letter())
    }
}

impl TablePolicy {
    /// The conditions on rows for this command, as PostgreSQL applies them.
    pub(crate) fn conditions(&self, command: Command) -> Vec<&str> {
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
