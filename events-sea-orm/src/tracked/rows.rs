//! Rows of tracked tables, their type forgotten.

use std::marker::PhantomData;

use sea_orm::{
    ColumnTrait, DbErr, EntityTrait, ExprTrait, FromQueryResult, IdenStatic, Iterable, PrimaryKeyToColumn,
    PrimaryKeyTrait, QueryFilter, QueryResult, QueryTrait, RelationTrait, TryFromU64, Value,
    sea_query::{Expr, IntoValueTuple, LockType, Query, SelectStatement, TableRef, UpdateStatement},
};

use super::{Definition, PrimaryKey, TeamSource, Tracked};

/// What a row of a tracked table held at one moment.
///
/// No `Debug`: it holds redacted values.
pub(crate) struct RowImage {
    pub(crate) key: Vec<Value>,
    pub(crate) team: Option<Value>,
    pub(crate) values: Vec<Value>,
    /// Whether it was marked as deleted.
    pub(crate) deleted: bool,
    /// What it says of its thread.
    pub(crate) thread: Vec<Value>,
}

impl RowImage {
    pub(crate) fn of<M: Tracked>(model: &M) -> Self {
        Self {
            key: PrimaryKey::<M>::iter().map(|key| model.get(key.into_column())).collect(),
            team: model.team_value(),
            values: model.tracked_values(),
            deleted: model.is_soft_deleted(),
            thread: model.thread_values(),
        }
    }

    /// What a caller said of a row: its key and its team.
    pub(crate) fn said(key: Option<&[Value]>, team: Option<Value>) -> Self {
        Self {
            key: key.unwrap_or_default().to_vec(),
            team,
            values: Vec::new(),
            deleted: false,
            thread: Vec::new(),
        }
    }
}

/// How to find and read a row of a tracked table, its type forgotten.
pub(crate) trait Rows: Send + Sync {
    fn definition(&self) -> &'static Definition;
    /// The row of this key. A `LIMIT` would add nothing but work: SQLite plans a statement anew for each one bound.
    fn select(&self, key: &[Value]) -> SelectStatement;
    /// All rows.
    fn select_all(&self) -> SelectStatement;
    /// If this may be a junction, which refers to others by two columns or more: those columns.
    fn link_columns(&self) -> Option<Vec<String>>;
    /// The key that the database counted up to.
    fn counted_key(&self, id: u64) -> Option<Vec<Value>>;
    /// The update of this row, extended so that it brings back the old row, locked, beside the new one, if the old
    /// one is of this team, or of any. None where an old column could not be told from the others.
    fn update_with_old(
        &self,
        update: &UpdateStatement,
        key: &[Value],
        team: Option<&str>,
    ) -> Option<UpdateStatement>;
    fn image(&self, row: &QueryResult, prefix: &str) -> Result<RowImage, DbErr>;
}

/// What the names of old columns begin with.
pub(crate) const OLD: &str = "__old_";

/// PostgreSQL cuts names to 63 bytes.
const MAX_COLUMN: usize = 63 - OLD.len();

/// As many columns as an answer can have twice: PostgreSQL's limit is 1,664.
const MAX_COLUMNS: usize = 800;

/// The name of a column's old value beside the new one.
pub(crate) fn old_name(column: &str) -> String {
    format!("{OLD}{column}")
}

/// Whether the old columns can be told from the others.
pub(crate) fn has_old_names<E: EntityTrait>() -> bool {
    let is_odd = |name: &str| name.len() > MAX_COLUMN || name.starts_with(OLD);
    E::Column::iter().count() <= MAX_COLUMNS && !E::Column::iter().any(|column| is_odd(column.as_str()))
}

struct RowsOf<E>(PhantomData<fn() -> E>);

impl<E: EntityTrait> Rows for RowsOf<E>
where
    E::Model: Tracked,
{
    fn definition(&self) -> &'static Definition {
        E::Model::definition()
    }

    fn select(&self, key: &[Value]) -> SelectStatement {
        let mut select = E::find();
        for (column, value) in E::PrimaryKey::iter().zip(key) {
            select = select.filter(column.into_column().eq(value.clone()));
        }
        select.into_query()
    }

    fn select_all(&self) -> SelectStatement {
        E::find().into_query()
    }

    fn link_columns(&self) -> Option<Vec<String>> {
        let relations =
            E::Relation::iter().map(|relation| relation.def()).filter(|relation| !relation.is_owner);
        let columns: Vec<String> = relations
            .flat_map(|relation| {
                relation.from_col.into_iter().map(|column| column.to_string()).collect::<Vec<_>>()
            })
            .collect();
        columns.iter().any(|column| *column != columns[0]).then_some(columns)
    }

    fn counted_key(&self, id: u64) -> Option<Vec<Value>> {
        let key = <E::PrimaryKey as PrimaryKeyTrait>::ValueType::try_from_u64(id).ok()?;
        Some(key.into_value_tuple().into_iter().collect())
    }

    fn update_with_old(
        &self,
        update: &UpdateStatement,
        key: &[Value],
        team: Option<&str>,
    ) -> Option<UpdateStatement> {
        if !has_old_names::<E>() {
            return None;
        }
        let mut old = Query::select();
        old.from(E::default().table_ref()).lock(LockType::NoKeyUpdate);
        for column in E::Column::iter() {
            old.expr_as(column.select_as(Expr::col(column.as_column_ref())), old_name(column.as_str()));
        }
        for (column, value) in E::PrimaryKey::iter().zip(key) {
            old.and_where(column.into_column().eq(value.clone()));
        }
        if let TeamSource::Column(name) = E::Model::definition().team() {
            let column = E::Column::iter().find(|column| column.as_str() == name)?;
            let column = Expr::col(column.as_column_ref());
            old.and_where(match team {
                Some(team) => column.cast_as("text").eq(team),
                None => column.is_not_null(),
            });
        }
        let new = E::Column::iter().map(|column| column.select_as(Expr::col(column.as_column_ref())));
        let olds = E::Column::iter().map(|column| Expr::col(old_name(column.as_str())));
        let mut update = update.clone();
        update.from(TableRef::SubQuery(old.into(), "__old".into()));
        update.returning(Query::returning().exprs(new.chain(olds)));
        Some(update)
    }

    fn image(&self, row: &QueryResult, prefix: &str) -> Result<RowImage, DbErr> {
        E::Model::from_query_result(row, prefix).map(|model| RowImage::of(&model))
    }
}

/// The rows of entity `E`.
pub(crate) fn rows<E: EntityTrait>() -> &'static dyn Rows
where
    E::Model: Tracked,
{
    &RowsOf::<E>(PhantomData)
}
