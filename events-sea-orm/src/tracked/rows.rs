//! Rows of tracked tables: what one holds, and how it is found and read. One table of columns an entity, and plain loops over
//! database values: no code is generated for an entity's rows, and none of its types takes part.

use events_core::TeamScope;
use sea_orm::{
    ColumnDef, ColumnTrait, DbBackend, DbErr, EntityTrait, ExprTrait, IdenStatic, Iterable,
    PrimaryKeyToColumn, QueryResult, RelationTrait, Value,
    sea_query::{
        Condition, Expr, LockType, Query, ReturningClause, SelectStatement, TableRef, UpdateStatement,
    },
};
use serde_json::Value as Json;

use super::{Definition, TeamSource, Tracked};
use crate::{
    backend::{self, cells},
    value::{self, Kind},
};

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

    /// Whether this is its key.
    pub(crate) fn has_key(&self, key: &[Value]) -> bool {
        same_key(&self.key, key)
    }
}

/// Whether both name the same row, whatever Rust's types for their parts are.
pub(crate) fn same_key(one: &[Value], other: &[Value]) -> bool {
    one.len() == other.len() && one.iter().zip(other).all(|(one, other)| value::same(one, other))
}

/// A column as the entity has it.
struct Column {
    name: &'static str,
    /// Its name beside the new one.
    old: String,
    kind: Kind,
    /// NULL of SeaORM's type for it.
    like: Value,
    /// As SeaORM reads it: native enums as text.
    select: Expr,
    /// Whether that has another name of its own.
    is_cast: bool,
}

/// The columns of a table, and what else is asked of its entity.
pub(crate) struct Rows {
    table: TableRef,
    table_name: &'static str,
    columns: Vec<Column>,
    save: fn(&str, Expr) -> Expr,
    references: fn() -> Vec<String>,
}

/// What the names of old columns begin with.
pub(crate) const OLD: &str = "__old_";

/// PostgreSQL cuts names to 63 bytes.
const MAX_COLUMN: usize = 63 - OLD.len();

/// As many columns as an answer can have twice: PostgreSQL's limit is 1,664.
const MAX_COLUMNS: usize = 800;

/// The name of a column's old value beside the new one.
fn old_name(column: &str) -> String {
    format!("{OLD}{column}")
}

/// An expression as SeaORM writes it to this column.
fn save<E: EntityTrait>(name: &str, expr: Expr) -> Expr {
    for column in E::Column::iter() {
        if column.as_str() == name {
            return column.save_as(expr);
        }
    }
    expr
}

/// The columns by which this entity refers to others.
fn references<E: EntityTrait>() -> Vec<String> {
    let mut columns = Vec::new();
    for relation in E::Relation::iter() {
        let relation = relation.def();
        if !relation.is_owner {
            columns.extend(relation.from_col.into_iter().map(|column| column.to_string()));
        }
    }
    columns
}

impl Rows {
    /// Of entity `E`, and its key columns. This, `save` and `references` are all the code that an entity's rows cost.
    pub(super) fn of<E: EntityTrait>() -> (Self, Vec<&'static str>)
    where
        E::Model: Tracked,
    {
        let entity = E::default();
        let table_name = entity.table_name();
        let mut rows = Self {
            table: entity.table_ref(),
            table_name,
            columns: Vec::new(),
            save: save::<E>,
            references: references::<E>,
        };
        for column in E::Column::iter() {
            let plain = Expr::col((table_name, column.as_str()));
            rows.push(column.as_str(), &column.def(), column.select_as(plain));
        }
        let mut key = Vec::new();
        for column in E::PrimaryKey::iter() {
            key.push(column.into_column().as_str());
        }
        (rows, key)
    }

    fn push(&mut self, name: &'static str, column: &ColumnDef, select: Expr) {
        let plain = self.col(name);
        let is_cast = match &select {
            Expr::AsEnum(_, inner) => **inner != plain,
            other => *other != plain,
        };
        let column_type = column.get_column_type();
        let (kind, like) = (Kind::of(column_type), value::null_of(column_type));
        self.columns.push(Column { name, old: old_name(name), kind, like, select, is_cast });
    }

    fn col(&self, name: &'static str) -> Expr {
        Expr::col((self.table_name, name))
    }

    fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// What kind of value this column holds.
    pub(crate) fn kind(&self, name: &str) -> Kind {
        self.column(name).map_or(Kind::Other, |column| column.kind)
    }

    /// Whether the old columns can be told from the others.
    fn has_old_names(&self) -> bool {
        let is_odd = |name: &str| name.len() > MAX_COLUMN || name.starts_with(OLD);
        self.columns.len() <= MAX_COLUMNS && !self.columns.iter().any(|column| is_odd(column.name))
    }

    /// The condition that this column holds this value.
    fn is(&self, name: &'static str, value: Value) -> Expr {
        self.col(name).eq((self.save)(name, Expr::val(value)))
    }

    fn read(&self, row: &QueryResult, name: &str, prefix: &str) -> Result<Value, DbErr> {
        let Some(column) = self.column(name) else {
            return Err(DbErr::Type(format!("`{}` has no column `{name}`", self.table_name)));
        };
        let name = if prefix.is_empty() { column.name } else { &column.old };
        Ok(value::fitted(cells::read(row, name, column.kind)?, &column.like))
    }
}

impl Definition {
    /// The columns that an image is made of.
    fn image_columns(&self) -> impl Iterator<Item = &Column> {
        self.rows.columns.iter().filter(|column| self.is_in_image(column.name))
    }

    fn is_in_image(&self, name: &str) -> bool {
        let thread = || self.thread.iter().flat_map(|source| source.id.iter().chain(&source.scope));
        self.key.contains(&name)
            || self.team == TeamSource::Column(self.named(name))
            || self.fields.iter().any(|field| field.column == name)
            || self.soft_delete == Some(self.named(name))
            || thread().any(|column| *column == name)
    }

    /// The entity's own name for this column.
    fn named(&self, name: &str) -> &'static str {
        self.rows.column(name).map_or("", |column| column.name)
    }

    /// What is recorded of a row of an answer, whose columns have this prefix.
    pub(crate) fn image(&self, row: &QueryResult, prefix: &str) -> Result<RowImage, DbErr> {
        let read = |name: &&'static str| self.rows.read(row, name, prefix);
        let thread = self.thread.iter().flat_map(|source| source.id.iter().chain(&source.scope));
        let values = self.fields.iter().map(|field| match field.with {
            Some(with) => with(row, &format!("{prefix}{}", field.column)),
            None => read(&field.column),
        });
        Ok(RowImage {
            key: self.key.iter().map(read).collect::<Result<_, _>>()?,
            team: match &self.team {
                TeamSource::Column(column) => Some(read(column)?),
                TeamSource::Context => None,
            },
            values: values.collect::<Result<_, _>>()?,
            deleted: match &self.soft_delete {
                Some(column) => is_mark(&read(column)?, self.rows.kind(column)),
                None => false,
            },
            thread: thread.map(read).collect::<Result<_, _>>()?,
        })
    }

    /// What a row of an answer holds in this column.
    pub(crate) fn value(&self, row: &QueryResult, column: &str) -> Result<Value, DbErr> {
        self.rows.read(row, column, "")
    }

    /// What an image is made of, of all rows.
    pub(crate) fn select(&self) -> SelectStatement {
        let mut select = Query::select();
        for column in self.image_columns() {
            select.expr_as(column.select.clone(), column.name);
        }
        select.from(self.rows.table.clone()).to_owned()
    }

    /// All columns of all rows, word for word as SeaORM asks for them.
    pub(crate) fn select_whole(&self) -> SelectStatement {
        let mut select = Query::select();
        for column in &self.rows.columns {
            if column.is_cast {
                select.expr_as(column.select.clone(), column.name);
            } else {
                select.expr(column.select.clone());
            }
        }
        select.from(self.rows.table.clone()).to_owned()
    }

    /// The row of this key. A `LIMIT` would add nothing but work: SQLite plans a statement anew for each one bound.
    pub(crate) fn select_row(&self, key: &[Value]) -> SelectStatement {
        self.of_row(self.select(), key)
    }

    /// The row of this key, word for word as SeaORM asks for it but for the `LIMIT`.
    pub(crate) fn select_whole_row(&self, key: &[Value]) -> SelectStatement {
        self.of_row(self.select_whole(), key)
    }

    fn of_row(&self, mut select: SelectStatement, key: &[Value]) -> SelectStatement {
        for (column, value) in self.key.iter().zip(key) {
            select.and_where(self.rows.is(column, value.clone()));
        }
        select
    }

    /// What a write returns: an image, or all columns.
    pub(crate) fn returning(&self, whole: bool) -> ReturningClause {
        let columns = self.rows.columns.iter().filter(|column| whole || self.is_in_image(column.name));
        Query::returning().exprs(columns.map(|column| column.select.clone()))
    }

    /// The same of all columns, and of these.
    pub(crate) fn returning_all_and(&self, more: impl Iterator<Item = Expr>) -> ReturningClause {
        Query::returning().exprs(self.rows.columns.iter().map(|column| column.select.clone()).chain(more))
    }

    /// If this may be a junction, which refers to others by two columns or more: those columns.
    pub(crate) fn link_columns(&self) -> Option<Vec<String>> {
        let columns = (self.rows.references)();
        columns.iter().any(|column| *column != columns[0]).then_some(columns)
    }

    /// The key that the database counted up to.
    pub(crate) fn counted_key(&self, id: u64) -> Option<Vec<Value>> {
        let [key] = self.key.as_slice() else { return None };
        let column = self.rows.column(key)?;
        if column.kind == Kind::Text {
            return Some(vec![id.to_string().into()]);
        }
        value::from_json(&Json::from(id), &column.like).ok().map(|key| vec![key])
    }

    /// The keys that the database counted up to, from the first of so many rows.
    pub(crate) fn counted_keys(&self, first: u64, count: usize) -> Option<Vec<Value>> {
        let key = |n: u64| self.counted_key(first.checked_add(n)?);
        (0..count as u64).map(key).collect::<Option<Vec<_>>>().map(|keys| keys.concat())
    }

    /// The update of this row, extended so that it brings back the old row, locked, beside the new one, if the old
    /// one is of this team, or of any. None where an old column could not be told from the others.
    pub(crate) fn update_with_old(
        &self,
        update: &UpdateStatement,
        key: &[Value],
        team: Option<&str>,
    ) -> Option<UpdateStatement> {
        if !self.rows.has_old_names() {
            return None;
        }
        let mut old = self.of_row(self.select_old(), key);
        old.lock(LockType::NoKeyUpdate);
        let mut update = update.clone();
        if let TeamSource::Column(column) = self.team {
            let column = self.rows.col(column);
            let of_team = match team {
                Some(team) => column.cast_as("text").eq(team),
                None => column.is_not_null(),
            };
            old.and_where(of_team.clone());
            // In the update as well: the key may be that of other rows too.
            update.and_where(of_team);
        }
        update.from(TableRef::SubQuery(old.into(), "__old".into()));
        update.returning(self.returning_with_old(true));
        Some(update)
    }

    /// What an image is made of, under the names of old columns. None where they could not be told from the others.
    pub(crate) fn select_before(&self) -> Option<SelectStatement> {
        self.rows.has_old_names().then(|| self.select_old())
    }

    fn select_old(&self) -> SelectStatement {
        let mut old = Query::select();
        for column in self.image_columns() {
            old.expr_as(column.select.clone(), column.old.clone());
        }
        old.from(self.rows.table.clone()).to_owned()
    }

    /// What a write returns beside the old columns that it read.
    pub(crate) fn returning_with_old(&self, whole: bool) -> ReturningClause {
        let columns = self.rows.columns.iter().filter(|column| whole || self.is_in_image(column.name));
        let new = columns.map(|column| column.select.clone());
        let old = self.image_columns().map(|column| Expr::col(column.old.clone()));
        Query::returning().exprs(new.chain(old))
    }

    /// Its table, as statements name it.
    pub(crate) fn table_ref(&self) -> TableRef {
        self.rows.table.clone()
    }

    /// How many columns it has.
    pub(crate) fn width(&self) -> usize {
        self.rows.columns.len()
    }

    /// A key column in a statement.
    pub(crate) fn key_exprs(&self) -> impl Iterator<Item = Expr> {
        self.key.iter().map(|key| self.rows.col(key))
    }

    /// The old key columns of this answer, in the columns' own types: they were read as SeaORM reads them.
    pub(crate) fn old_key_exprs(&self, answer: &'static str) -> impl Iterator<Item = Expr> {
        self.key.iter().map(move |key| (self.rows.save)(key, Expr::col((answer, old_name(key)))))
    }

    /// The condition of the rows of these keys, one key after the other.
    pub(crate) fn has_key(&self, keys: &[Value]) -> Condition {
        let condition = Condition::all();
        if let [column] = self.key.as_slice() {
            let keys = keys.iter().map(|key| (self.rows.save)(column, Expr::val(key.clone())));
            return condition.add(self.rows.col(column).is_in(keys));
        }
        let tuple = Expr::tuple(self.key_exprs());
        let saved = |key: &[Value]| {
            let parts = self
                .key
                .iter()
                .zip(key)
                .map(|(column, part)| (self.rows.save)(column, Expr::val(part.clone())));
            Expr::tuple(parts)
        };
        condition.add(tuple.is_in(keys.chunks(self.key.len().max(1)).map(saved)))
    }

    /// The condition of rows that come after this key.
    pub(crate) fn is_after(&self, key: &[Value]) -> Condition {
        let mut any = Condition::any();
        for (i, last) in key.iter().enumerate() {
            let mut all = Condition::all();
            for (column, value) in self.key[..i].iter().zip(key) {
                all = all.add(self.rows.is(column, value.clone()));
            }
            let column = self.key[i];
            let after = self.rows.col(column).gt((self.rows.save)(column, Expr::val(last.clone())));
            any = any.add(all.add(after));
        }
        any
    }

    /// The condition that a row is of the context's team: it stands in the filter of every bulk call. None if rows of any
    /// team may be touched, or do not say whose they are.
    pub(crate) fn is_of_team(&self, team: &TeamScope, backend: DbBackend) -> Option<Condition> {
        let (TeamSource::Column(column), TeamScope::Team(team)) = (self.team, team) else { return None };
        let column = self.rows.column(column)?;
        let col = || self.rows.col(column.name);
        // An index on the column helps only if it is compared in its own type.
        let own = match column.kind {
            Kind::Integer => {
                let number = serde_json::from_str::<Json>(team).ok();
                let number = number.and_then(|number| value::from_json(&number, &column.like).ok());
                let text = |number: &Value| value::to_json(number).map(|json| json.to_string());
                number.filter(|number| text(number).as_ref() == Ok(team))
            }
            Kind::Uuid => {
                let uuid = value::from_json(&Json::from(team.as_str()), &Value::Uuid(None)).ok();
                uuid.filter(|uuid| value::to_json(uuid) == Ok(Json::from(team.as_str())))
            }
            Kind::Text => {
                let same = self.rows.is(column.name, team.as_str().into());
                // To a collation 'a' may be 'A'.
                let exact = backend::is_exactly(backend, col(), team);
                return Some(Condition::all().add(same).add(exact));
            }
            _ => return Some(Condition::all().add(backend::is_exactly(backend, col(), team))),
        };
        Some(match own {
            Some(own) => Condition::all().add(self.rows.is(column.name, own)),
            // No row can be of a team of that name.
            None => Condition::all().add(Expr::val(1).eq(0)),
        })
    }
}

/// Whether what the soft-delete column holds marks the row.
fn is_mark(held: &Value, kind: Kind) -> bool {
    let is_zero = kind == Kind::Bool && value::same(held, &Value::Int(Some(0)));
    !value::is_null(held) && *held != Value::Bool(Some(false)) && !is_zero
}

/// Which column of `M`'s entity has this name.
pub(crate) fn column_of<M: Tracked>(name: &str) -> Option<<M::Entity as EntityTrait>::Column> {
    <M::Entity as EntityTrait>::Column::iter().find(|column| column.as_str() == name)
}
