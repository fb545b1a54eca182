//! The tables of ours that are there, with their partitions.

use sea_orm::{ConnectionTrait, DbBackend, DbErr, FromQueryResult, Statement};

use super::access::Access;

/// A table of ours, or a partition of one.
#[derive(Debug, Clone, FromQueryResult)]
pub(crate) struct Relation {
    /// Which of our tables it is, or is a part of.
    pub(crate) of: String,
    pub(crate) is_partition: bool,
    pub(crate) oid: i64,
    #[cfg_attr(not(feature = "migration"), allow(dead_code))]
    pub(crate) schema: String,
    /// With its schema, as it stands in SQL.
    pub(crate) name: String,
    pub(crate) owner: String,
    /// Whether the role that is connected is the owner or can become it.
    pub(crate) is_own: bool,
    pub(crate) is_enabled: bool,
    pub(crate) is_forced: bool,
    /// Those of its identity columns, as they stand in SQL: a JSON array.
    pub(crate) sequences: sea_orm::JsonValue,
}

impl Relation {
    /// What the roles may do with it.
    pub(crate) fn access(&self) -> Option<&'static Access> {
        Access::of(&self.of)
    }

    pub(crate) fn sequences(&self) -> impl Iterator<Item = &str> {
        self.sequences.as_array().into_iter().flatten().filter_map(|name| name.as_str())
    }
}

/// They are found as the connection's search path finds them. A partition can be asked for by its own name, past what its
/// parent says.
const RELATIONS: &str = "WITH RECURSIVE own AS ( \
     SELECT t.name, to_regclass(quote_ident(t.name))::oid AS oid, false AS is_partition \
     FROM json_array_elements_text($1::text::json) AS t(name) \
     UNION ALL SELECT own.name, i.inhrelid, true FROM own JOIN pg_catalog.pg_inherits i ON i.inhparent = own.oid) \
     SELECT own.name AS of, own.is_partition, c.oid::bigint AS oid, quote_ident(n.nspname) AS schema, \
     format('%I.%I', n.nspname, c.relname) AS name, pg_get_userbyid(c.relowner)::text AS owner, \
     pg_has_role(current_user, c.relowner, 'MEMBER') AS is_own, \
     c.relrowsecurity AS is_enabled, c.relforcerowsecurity AS is_forced, \
     coalesce((SELECT json_agg(format('%I.%I', sn.nspname, s.relname)) FROM pg_catalog.pg_depend d \
     JOIN pg_catalog.pg_class s ON s.oid = d.objid AND s.relkind = 'S' JOIN pg_catalog.pg_namespace sn ON sn.oid = s.relnamespace \
     WHERE d.refobjid = c.oid AND d.refclassid = 'pg_class'::regclass AND d.classid = 'pg_class'::regclass \
     AND d.deptype IN ('a', 'i')), '[]') AS sequences \
     FROM own JOIN pg_catalog.pg_class c ON c.oid = own.oid AND c.relkind IN ('r', 'p') \
     JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace ORDER BY own.is_partition, c.oid";

/// Every table of ours that is there, partitions last.
pub(crate) async fn read_relations(db: &impl ConnectionTrait) -> Result<Vec<Relation>, DbErr> {
    let names: Vec<_> = Access::of_all().iter().map(|access| access.table).collect();
    let names = serde_json::json!(names).to_string();
    let select = Statement::from_sql_and_values(DbBackend::Postgres, RELATIONS, [names.into()]);
    let rows = db.query_all_raw(select).await?;
    rows.iter().map(|row| Relation::from_query_result(row, "")).collect()
}

/// The functions of the triggers that guard these tables, as they stand in SQL: whoever owns one can make it do nothing.
#[cfg(feature = "migration")]
pub(crate) async fn guard_functions(
    db: &impl ConnectionTrait,
    relations: &[Relation],
) -> Result<Vec<String>, DbErr> {
    let oids: Vec<_> = relations.iter().map(|relation| relation.oid).collect();
    let select = Statement::from_sql_and_values(
        DbBackend::Postgres,
        "SELECT DISTINCT format('%I.%I()', n.nspname, p.proname) AS name FROM pg_catalog.pg_trigger t \
         JOIN pg_catalog.pg_proc p ON p.oid = t.tgfoid JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace \
         WHERE NOT t.tgisinternal AND p.proname LIKE 'events\\_%' \
         AND t.tgrelid::bigint IN (SELECT value::bigint FROM json_array_elements_text($1::text::json)) ORDER BY name",
        [serde_json::json!(oids).to_string().into()],
    );
    db.query_all_raw(select).await?.iter().map(|row| row.try_get("", "name")).collect()
}
