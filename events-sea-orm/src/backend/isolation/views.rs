//! Views of the tables that are looked at.

use sea_orm::{DatabaseConnection, DbErr, FromQueryResult, JsonValue};

use super::{
    Relation,
    inspect::{GRANTEES, names, statement, without_compiling},
    tables::{Named, TREE, wanted},
};

/// A view through which a role that is looked at reads or writes a table as somebody whom no team stops.
#[derive(Debug, Clone, FromQueryResult)]
pub(crate) struct View {
    pub(crate) name: String,
    pub(crate) owner: String,
    /// It holds rows, which were read when it was made.
    pub(crate) is_materialized: bool,
    /// Whether it asks a partition of a table, or a parent of one, on which its reader should have no right.
    pub(crate) is_of_part: bool,
    pub(crate) reader: String,
    /// Whose rights on it the reader has.
    grantees: JsonValue,
    /// The tables and views that it asks, on which its reader has no right.
    needs: JsonValue,
}

impl View {
    /// Whose rights on it the reader has; nobody for everybody.
    pub(crate) fn grantees(&self) -> Vec<Option<&str>> {
        names(&self.grantees)
    }

    /// The tables and views that it asks, on which its reader has no right.
    pub(crate) fn needs(&self) -> Vec<String> {
        names(&self.needs).into_iter().flatten().map(str::to_owned).collect()
    }
}

/// Views of these tables and of the library's, and views of views. One that a reader of one team owns, or that asks as its
/// reader, shows that team: what it asks, the reader must have a right to, and is looked at by itself. Each command is looked at
/// by itself, and tables that are open to their reader are left out.
///
/// A partition of a table under row-level security, and a parent of one, have no policies of their own that count: they show all.
pub(crate) async fn read(
    db: &DatabaseConnection,
    relations: &[Relation],
    tables: &[Named<'_>],
) -> Result<Vec<View>, DbErr> {
    // The expressions of each policy once: to print one takes its time. Who may change every row may find it or write it.
    const OPEN: &str = "printed AS MATERIALIZED (SELECT p.polrelid, p.polcmd::text AS command, x.oid AS role, \
         coalesce(pg_get_expr(p.polqual, p.polrelid), 'true') = 'true' AS finds_all, \
         coalesce(pg_get_expr(p.polwithcheck, p.polrelid), pg_get_expr(p.polqual, p.polrelid)) = 'true' AS writes_all \
         FROM pg_catalog.pg_policy p CROSS JOIN LATERAL unnest(p.polroles) AS x(oid) \
         WHERE p.polpermissive AND p.polrelid IN (SELECT oid FROM bases)), \
         letters(letter) AS (VALUES ('r'), ('a'), ('w'), ('d')), \
         open AS MATERIALIZED (SELECT p.polrelid, p.role, k.letter, k.letter <> 'w' OR (p.finds_all AND p.writes_all) AS is_wholly \
         FROM printed p JOIN letters k ON p.command IN (k.letter, '*') \
         AND CASE k.letter WHEN 'a' THEN p.writes_all WHEN 'w' THEN p.finds_all OR p.writes_all ELSE p.finds_all END)";
    const ASKS_AS_READER: &str = "EXISTS (SELECT FROM pg_options_to_table(c.reloptions) \
         WHERE option_name = 'security_invoker' AND option_value::boolean)";
    const IS_ASKED: &str = "FROM pg_catalog.pg_rewrite w JOIN pg_catalog.pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = w.oid \
         AND d.refclassid = 'pg_class'::regclass AND d.refobjid <> c.oid \
         JOIN pg_catalog.pg_class t ON t.oid = d.refobjid AND t.relkind IN ('r', 'p', 'v', 'm', 'f')";
    let views = format!(
        "{TREE}, bases(oid) AS (SELECT oid FROM own UNION SELECT f.oid FROM family f JOIN pg_catalog.pg_class c ON c.oid = f.oid \
         WHERE c.relrowsecurity OR (f.part <> 'table' AND EXISTS (SELECT FROM wanted w JOIN pg_catalog.pg_class t ON t.oid = w.oid \
         WHERE w.n = f.n AND t.relrowsecurity)) UNION SELECT t.oid FROM below JOIN pg_catalog.pg_class t ON t.oid = below.oid AND t.relrowsecurity), \
         {OPEN}, readers(oid, base, passes) AS (SELECT oid, oid, ''::text FROM bases \
         UNION SELECT c.oid, r.base, concat(r.passes, CASE WHEN c.relkind = 'm' THEN 'r' WHEN {ASKS_AS_READER} THEN '' \
         WHEN NOT b.relrowsecurity OR o.rolsuper OR o.rolbypassrls OR (NOT b.relforcerowsecurity AND pg_has_role(o.oid, b.relowner, 'USAGE')) THEN 'rawd' \
         ELSE (SELECT string_agg(p.letter, '') FROM open p WHERE p.polrelid = r.base \
         AND CASE WHEN p.role = 0 THEN true ELSE pg_has_role(o.oid, p.role, 'USAGE') END) END) \
         FROM readers r JOIN pg_catalog.pg_class b ON b.oid = r.base \
         JOIN pg_catalog.pg_depend d ON d.refobjid = r.oid AND d.refclassid = 'pg_class'::regclass AND d.classid = 'pg_rewrite'::regclass \
         JOIN pg_catalog.pg_rewrite w ON w.oid = d.objid JOIN pg_catalog.pg_class c ON c.oid = w.ev_class AND c.oid <> r.oid AND c.relkind IN ('v', 'm') \
         JOIN pg_catalog.pg_roles o ON o.oid = c.relowner) \
         SELECT DISTINCT format('%I.%I', n.nspname, c.relname) AS name, pg_get_userbyid(c.relowner)::text AS owner, c.relkind = 'm' AS is_materialized, \
         EXISTS (SELECT {IS_ASKED} WHERE w.ev_class = c.oid AND (t.oid IN (SELECT oid FROM family WHERE part <> 'table') \
         OR t.oid IN (SELECT i.inhrelid FROM own JOIN pg_catalog.pg_inherits i ON i.inhparent = own.oid))) AS is_of_part, \
         e.rolname::text AS reader, ({GRANTEES})::jsonb AS grantees, coalesce((SELECT json_agg(DISTINCT format('%I.%I', tn.nspname, t.relname)) \
         {IS_ASKED} JOIN pg_catalog.pg_namespace tn ON tn.oid = t.relnamespace WHERE w.ev_class = c.oid \
         AND NOT has_any_column_privilege(e.oid, t.oid, 'SELECT, INSERT, UPDATE')), '[]')::jsonb AS needs \
         FROM readers r JOIN pg_catalog.pg_class c ON c.oid = r.oid AND c.relkind IN ('v', 'm') \
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace JOIN letters k ON strpos(r.passes, k.letter) > 0 JOIN examined e ON CASE k.letter \
         WHEN 'r' THEN has_any_column_privilege(e.oid, c.oid, 'SELECT') WHEN 'a' THEN has_any_column_privilege(e.oid, c.oid, 'INSERT') \
         WHEN 'w' THEN has_any_column_privilege(e.oid, c.oid, 'UPDATE') ELSE has_table_privilege(e.oid, c.oid, 'DELETE') END \
         WHERE NOT {ASKS_AS_READER} AND NOT EXISTS (SELECT FROM open p WHERE p.polrelid = r.base AND p.letter = k.letter AND p.is_wholly \
         AND CASE WHEN p.role = 0 THEN true ELSE pg_has_role(e.oid, p.role, 'USAGE') END) ORDER BY 1, 5"
    );
    let asked = statement(relations, &views, [wanted(tables).into()]);
    let rows = without_compiling(db, asked).await?;
    rows.iter().map(|row| View::from_query_result(row, "")).collect()
}
