//! How a unit of work makes its team where the tenants' own table has policies: they compare the row's key with the team that
//! is set, so the key must be known, and set, before the row is inserted.

use events_core::TeamScope;
use sea_orm::{DbBackend, DbErr, QueryResult, Statement, Value};

use crate::{
    backend::isolation::{DRAWN_KEY, sql::identifier},
    tracked::{Definition, team_text},
    transaction::Kind,
};

/// Whether an insert of this kind is one that may make the team.
pub(crate) fn makes_team(definition: &Definition, kind: Kind, team: &TeamScope) -> bool {
    kind == Kind::Insert && *team == TeamScope::New && definition.is_team()
}

/// The team that a row of this key will be.
pub(crate) fn team_to_be(key: Option<&[Value]>) -> Option<TeamScope> {
    key.and_then(|key| key.first()).and_then(team_text).map(TeamScope::Team)
}

/// What draws the key of such a row from the database.
pub(crate) struct Draw {
    column_type: String,
    pub(crate) statement: Statement,
}

impl Draw {
    /// By what [`select`] found; none where no policy asks for the key, or it cannot be drawn.
    pub(crate) fn of(found: &[QueryResult]) -> Result<Option<Self>, DbErr> {
        let Some(row) = found.first() else { return Ok(None) };
        let column_type = row.try_get("", "column_type")?;
        let expression: Option<String> = row.try_get("", "expression")?;
        // The table's own default, as its owner wrote it.
        let draw = |expression| format!("SELECT ({expression})::text AS key");
        let statement = expression.map(|found| Statement::from_string(DbBackend::Postgres, draw(found)));
        Ok(statement.map(|statement| Self { column_type, statement }))
    }

    /// The key that was drawn.
    pub(crate) fn key(
        &self,
        definition: &'static Definition,
        drawn: &[QueryResult],
    ) -> Result<Option<Value>, DbErr> {
        let key = drawn.first().map(|row| row.try_get::<Option<String>>("", "key")).transpose()?.flatten();
        key.map_or(Ok(None), |key| value(definition, &self.column_type, key))
    }
}

/// What asks how the database makes the key.
pub(crate) fn select(definition: &Definition) -> Statement {
    let schema = definition.schema().map(|schema| identifier(schema) + ".").unwrap_or_default();
    let table = schema + &identifier(definition.table());
    let column = definition.key_columns().first().copied().unwrap_or_default();
    Statement::from_sql_and_values(DbBackend::Postgres, DRAWN_KEY, [table.into(), column.into()])
}

fn value(definition: &'static Definition, column_type: &str, key: String) -> Result<Option<Value>, DbErr> {
    let unread = || DbErr::Type(format!("the key `{key}` of type {column_type} cannot be read"));
    Ok(match column_type {
        "smallint" | "integer" | "bigint" => {
            let key = definition.counted_key(key.parse().map_err(|_| unread())?);
            key.and_then(|key| key.into_iter().next())
        }
        "uuid" => Some(key.parse::<uuid::Uuid>().map_err(|_| unread())?.into()),
        _ => Some(key.into()),
    })
}
