//! One bulk call: where it runs, of which entity it is, and whether its caller wants the rows back.

use sea_orm::{
    DbErr, EntityTrait, FromQueryResult, PrimaryKeyTrait, QueryResult, Statement, StatementBuilder, Value,
    sea_query::SelectStatement,
};

use crate::{
    backend::{self, Lock},
    record::{self, Change, Recorder, SaveOptions},
    tracked::{Definition, RowImage, Tracked},
    transaction::{Busy, EventTransaction},
    withhold::withhold_for,
};

/// What the caller wants of the rows that were written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    Nothing,
    /// The key of the last one.
    LastKey,
    Keys,
    Rows,
}

/// A row of an answer: what is recorded of it, and the answer if the caller wants something of it.
pub(super) struct Row {
    pub(super) image: RowImage,
    pub(super) answer: Option<QueryResult>,
}

#[derive(Clone, Copy)]
pub(super) struct Call<'a> {
    pub(super) txn: &'a EventTransaction,
    pub(super) busy: &'a Busy,
    pub(super) definition: &'static Definition,
    pub(super) options: &'a SaveOptions,
    pub(super) wanted: Wanted,
}

impl Call<'_> {
    /// Of rows that nobody wants back.
    pub(super) fn of_images(self) -> Self {
        Self { wanted: Wanted::Nothing, ..self }
    }

    pub(super) fn build(&self, statement: &impl StatementBuilder) -> Statement {
        StatementBuilder::build(statement, &self.txn.backend())
    }

    pub(super) async fn query(&self, statement: &impl StatementBuilder) -> Result<Vec<QueryResult>, DbErr> {
        let statement = self.build(statement);
        self.txn.check_own(&statement)?;
        self.txn.query_own(self.busy, statement).await
    }

    /// The rows of an answer as they are now.
    pub(super) fn rows(&self, answer: Vec<QueryResult>) -> Result<Vec<Row>, DbErr> {
        let mut rows = Vec::with_capacity(answer.len());
        for row in answer {
            let image = self.definition.image(&row, "")?;
            rows.push(self.row(image, row));
        }
        Ok(rows)
    }

    pub(super) fn row(&self, image: RowImage, answer: QueryResult) -> Row {
        Row { image, answer: (self.wanted != Wanted::Nothing).then_some(answer) }
    }

    /// Whether all columns are needed, and not only what is recorded.
    pub(super) fn is_whole(&self) -> bool {
        self.wanted == Wanted::Rows
    }

    /// All that the caller wants of each row, of all rows.
    pub(super) fn select(&self) -> SelectStatement {
        if self.is_whole() { self.definition.select_whole() } else { self.definition.select() }
    }

    /// The rows of these keys, which are locked already; a locking read is one of now, whatever the isolation level.
    pub(super) fn select_keys(&self, keys: &[Value], lock: Lock) -> SelectStatement {
        let mut select = self.select();
        select.cond_where(self.definition.has_key(keys));
        backend::lock_rows(&mut select, self.txn.backend(), lock);
        select
    }

    pub(super) fn recorder(&self) -> Result<Recorder<'_>, DbErr> {
        Ok(self.txn.recorder(self.definition, self.options)?)
    }

    /// Records what an update made of a row.
    pub(super) fn record_update(
        &self,
        recorder: &Recorder<'_>,
        old: &RowImage,
        new: &RowImage,
    ) -> Result<(), DbErr> {
        record::same_team(self.definition, old, new)?;
        Ok(self.txn.record(recorder, Change::Updated(old, new))?)
    }
}

/// The rows that were written, for their caller.
#[derive(Default)]
pub(super) struct Written {
    pub(super) count: u64,
    rows: Vec<QueryResult>,
}

impl Written {
    pub(super) fn push(&mut self, row: Row, wanted: Wanted) {
        self.count += 1;
        if wanted == Wanted::LastKey {
            self.rows.clear();
        }
        self.rows.extend(row.answer);
    }

    /// As models. A row that is none is an error, after all is written and recorded.
    pub(super) fn models<E: EntityTrait>(self) -> Result<Vec<E::Model>, DbErr>
    where
        E::Model: Tracked,
    {
        let mut models = Vec::with_capacity(self.rows.len());
        for row in &self.rows {
            // The error quotes what the model cannot read.
            models.push(withhold_for(E::Model::definition(), E::Model::from_query_result(row, ""))?);
        }
        Ok(models)
    }

    /// Their keys, or the last one's. A key that is none of its type is an error, after all is written and recorded.
    pub(super) fn keys<E: EntityTrait>(
        self,
    ) -> Result<Vec<<E::PrimaryKey as PrimaryKeyTrait>::ValueType>, DbErr>
    where
        E::Model: Tracked,
    {
        let columns: Vec<String> =
            E::Model::definition().key_columns().iter().map(|column| (*column).to_owned()).collect();
        let mut keys = Vec::with_capacity(self.rows.len());
        for row in &self.rows {
            keys.push(withhold_for(E::Model::definition(), row.try_get_many("", &columns))?);
        }
        Ok(keys)
    }
}
