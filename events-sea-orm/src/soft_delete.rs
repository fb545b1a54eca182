//! Rows that are marked as deleted and stay: `#[tracked(soft_delete = "deleted_at")]`.

use chrono::{DateTime, FixedOffset, Local, NaiveDate, NaiveDateTime, Utc};
use sea_orm::{
    ActiveModelBehavior, ActiveModelTrait, ConnectionTrait, DbErr, EntityTrait, IntoActiveModel, Value,
};

use crate::{
    backend::{self, Lock},
    error::Refused,
    record,
    tracked::{self, Tracked},
    transaction::EventTransaction,
    withhold::withhold_for,
};

type Model<A> = <<A as ActiveModelTrait>::Entity as EntityTrait>::Model;

/// A tracked model whose rows are marked as deleted in a column. Implemented by `#[derive(Tracked)]`, not by hand.
///
/// An update that sets the column, by whatever call, leaves DELETED with the final values of the tracked fields, after
/// the UPDATED and STATE_CHANGED of what else it changed. One that clears it leaves RESTORED with the values. A row
/// that is inserted with the mark leaves CREATED and DELETED, so that the last CREATED, DELETED or RESTORED of an object
/// always tells whether it counts as there. Another time for the mark is no event, unless the column is tracked: then
/// it is a change like any other. A marked row that is deleted for good leaves DELETED once more.
#[diagnostic::on_unimplemented(
    message = "rows of `{Self}` cannot be marked as deleted",
    label = "needs a model with a soft-delete column",
    note = "name the column on the model: `#[tracked(soft_delete = \"deleted_at\")]`"
)]
pub trait SoftDelete: Tracked {
    /// The type of the column.
    type Mark: DeletedMark;

    /// The column.
    fn soft_delete_column() -> <Self::Entity as EntityTrait>::Column;

    /// What it holds.
    fn deleted_mark(&self) -> &Self::Mark;
}

/// What a soft-delete column holds: a nullable time, where NULL means alive, or a bool, where false (or NULL) does.
///
/// Implemented for `Option` of the times and dates of `chrono` and, with the feature `with-time`, of `time`; for `bool`
/// and `Option<bool>`. Implement it for a type of your own that wraps one.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot mark a row as deleted",
    label = "neither a nullable time nor a bool",
    note = "a soft-delete column is an `Option` of a time, such as `Option<DateTimeUtc>`, or a `bool`; implement `events_sea_orm::DeletedMark` for a type of your own"
)]
pub trait DeletedMark: Into<Value> {
    /// Whether it marks the row as deleted.
    fn is_deleted(&self) -> bool;

    /// The mark of a row that is deleted now.
    fn deleted_at(now: DateTime<Utc>) -> Self;

    /// The mark of a row that is not.
    fn alive() -> Self;
}

impl DeletedMark for bool {
    fn is_deleted(&self) -> bool {
        *self
    }

    fn deleted_at(_: DateTime<Utc>) -> Self {
        true
    }

    fn alive() -> Self {
        false
    }
}

impl DeletedMark for Option<bool> {
    fn is_deleted(&self) -> bool {
        *self == Some(true)
    }

    fn deleted_at(_: DateTime<Utc>) -> Self {
        Some(true)
    }

    fn alive() -> Self {
        Some(false)
    }
}

macro_rules! times {
    ($($time:ty: $from:expr;)*) => {$(
        impl DeletedMark for Option<$time> {
            fn is_deleted(&self) -> bool {
                self.is_some()
            }

            fn deleted_at(now: DateTime<Utc>) -> Self {
                Some($from(now))
            }

            fn alive() -> Self {
                None
            }
        }
    )*};
}

times! {
    DateTime<Utc>: std::convert::identity;
    DateTime<FixedOffset>: |now: DateTime<Utc>| now.fixed_offset();
    DateTime<Local>: |now: DateTime<Utc>| now.with_timezone(&Local);
    NaiveDateTime: |now: DateTime<Utc>| now.naive_utc();
    NaiveDate: |now: DateTime<Utc>| now.date_naive();
}

#[cfg(feature = "with-time")]
times! {
    sea_orm::prelude::TimeDateTimeWithTimeZone: of_time;
    sea_orm::prelude::TimeDateTime: |now| in_utc(of_time(now));
    sea_orm::prelude::TimeDate: |now| of_time(now).date();
}

/// The same instant, as `time` has it.
#[cfg(feature = "with-time")]
fn of_time(now: DateTime<Utc>) -> sea_orm::prelude::TimeDateTimeWithTimeZone {
    std::time::SystemTime::from(now).into()
}

/// Its date and time of day, without the zone.
#[cfg(feature = "with-time")]
fn in_utc(at: sea_orm::prelude::TimeDateTimeWithTimeZone) -> sea_orm::prelude::TimeDateTime {
    sea_orm::prelude::TimeDateTime::new(at.date(), at.time())
}

/// Updates with the mark set, unless the row has it.
pub(crate) async fn soft_delete<A>(mut active: A, txn: &EventTransaction) -> Result<Model<A>, DbErr>
where
    A: ActiveModelTrait + ActiveModelBehavior + Send,
    Model<A>: SoftDelete + IntoActiveModel<A>,
{
    let column = Model::<A>::soft_delete_column();
    let key = tracked::key_of(&active);
    if is_marked::<A::Entity>(key, txn).await? {
        active.not_set(column); // its time is when it happened first
    } else {
        active.set(column, <Model<A> as SoftDelete>::Mark::deleted_at(record::now()).into());
    }
    active.update(txn).await
}

/// Updates with the mark taken away.
pub(crate) async fn restore<A>(mut active: A, txn: &EventTransaction) -> Result<Model<A>, DbErr>
where
    A: ActiveModelTrait + ActiveModelBehavior + Send,
    Model<A>: SoftDelete + IntoActiveModel<A>,
{
    active.set(Model::<A>::soft_delete_column(), <Model<A> as SoftDelete>::Mark::alive().into());
    active.update(txn).await
}

/// Whether the row has the mark, read under the lock that the update will need.
async fn is_marked<E: EntityTrait>(key: Option<Vec<Value>>, txn: &EventTransaction) -> Result<bool, DbErr>
where
    E::Model: Tracked,
{
    let Some(key) = key else { return Ok(false) };
    let definition = E::Model::definition();
    let mut select = definition.select_row(&key);
    backend::lock_rows(&mut select, txn.backend(), Lock::ForUpdate);
    let Some(row) = txn.query_one(&select).await? else { return Ok(false) };
    let row = withhold_for(definition, definition.image(&row, ""))?;
    match record::team_of(definition, &row, &txn.team_scope()) {
        Ok(_) => Ok(row.deleted),
        Err(Refused::OtherTeam { .. }) => Ok(false), // the update answers as of a row that is not there
        Err(refused) => Err(refused.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::{is_null, to_json};
    use serde_json::json;

    #[track_caller]
    fn check<M: DeletedMark>(expected: serde_json::Value) {
        let now = DateTime::from_timestamp_micros(1_700_000_000_123_456).unwrap();
        assert!(!M::alive().is_deleted());
        assert!(M::deleted_at(now).is_deleted());
        assert_eq!(to_json(&M::deleted_at(now).into()), Ok(expected));
    }

    #[test]
    fn marks_are_of_their_columns_type_and_in_utc() {
        let (zoned, naive) = (json!("2023-11-14T22:13:20.123456Z"), json!("2023-11-14T22:13:20.123456"));
        check::<Option<DateTime<Utc>>>(zoned.clone());
        check::<Option<DateTime<FixedOffset>>>(zoned.clone());
        check::<Option<DateTime<Local>>>(zoned.clone());
        check::<Option<NaiveDateTime>>(naive.clone());
        check::<Option<NaiveDate>>(json!("2023-11-14"));
        check::<bool>(json!(true));
        check::<Option<bool>>(json!(true));
        #[cfg(feature = "with-time")]
        {
            check::<Option<sea_orm::prelude::TimeDateTimeWithTimeZone>>(zoned);
            check::<Option<sea_orm::prelude::TimeDateTime>>(naive);
            check::<Option<sea_orm::prelude::TimeDate>>(json!("2023-11-14"));
        }
    }

    #[test]
    fn null_is_alive() {
        assert!(!None::<bool>.is_deleted() && !Some(false).is_deleted());
        assert!(is_null(&<Option<DateTime<Utc>>>::alive().into()));
    }
}
