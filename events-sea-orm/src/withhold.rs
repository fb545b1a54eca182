//! Database errors without the message of the database.
//!
//! `Duplicate entry 's3cr3t' for key 'api_key'`: where an entity has redacted fields, only the code and the
//! constraint may be passed on.

use std::{borrow::Cow, error::Error, fmt, sync::Arc};

use sea_orm::{
    DbErr, RuntimeErr,
    sqlx::{
        self,
        error::{DatabaseError, ErrorKind},
    },
};

use crate::{error::Refused, tracked::Definition};

/// What is left of a database error: enough to decide, nothing that quotes a value.
struct Withheld {
    code: Option<String>,
    constraint: Option<String>,
    kind: ErrorKind,
    message: String,
}

/// `result`, its error stripped of the database's words where rows of this entity hold what is redacted.
pub(crate) fn withhold_for<T>(definition: &Definition, result: Result<T, DbErr>) -> Result<T, DbErr> {
    if definition.redacts() { result.map_err(withhold) } else { result }
}

/// `error`, stripped of the database's words.
pub(crate) fn withhold(error: DbErr) -> DbErr {
    match error {
        DbErr::Exec(error) => DbErr::Exec(strip(error)),
        DbErr::Query(error) => DbErr::Query(strip(error)),
        DbErr::Conn(error) => DbErr::Conn(strip(error)),
        // Said of a value that could not be read, often with the value.
        DbErr::Type(_) => DbErr::Type(WITHHELD.to_owned()),
        DbErr::Json(_) => DbErr::Json(WITHHELD.to_owned()),
        DbErr::Custom(_) => DbErr::Custom(WITHHELD.to_owned()),
        DbErr::TryIntoErr { .. } if Refused::of(&error).is_none() => DbErr::Type(WITHHELD.to_owned()),
        // Ours, or SeaORM's own about the statement: neither quotes a value.
        other => other,
    }
}

const WITHHELD: &str = "withheld, as it may quote a redacted value";

fn strip(error: RuntimeErr) -> RuntimeErr {
    let RuntimeErr::SqlxError(error) = error else {
        return RuntimeErr::Internal(
            "an error of the database, withheld as it may quote a redacted value".into(),
        );
    };
    let stripped = match &*error {
        sqlx::Error::Database(error) => sqlx::Error::Database(Box::new(Withheld::of(&**error))),
        // The connection, not the statement: nothing of the row is in it.
        sqlx::Error::Io(_)
        | sqlx::Error::PoolClosed
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::WorkerCrashed => {
            return RuntimeErr::SqlxError(error);
        }
        _ => sqlx::Error::Protocol(WITHHELD.into()),
    };
    RuntimeErr::SqlxError(Arc::new(stripped))
}

impl Withheld {
    fn of(error: &dyn DatabaseError) -> Self {
        let code = error.code().map(Cow::into_owned);
        let constraint = error.constraint().map(str::to_owned).or_else(|| constraint_in(error.message()));
        let named = constraint.as_deref().unwrap_or("unknown");
        let message = format!(
            "database error {}, constraint {named}; its message is withheld, as it may quote a redacted value",
            code.as_deref().unwrap_or("unknown"),
        );
        Self { kind: error.kind(), code, constraint, message }
    }
}

/// The constraint, where a database names it in its message alone. Whole forms only: a value may hold the like.
fn constraint_in(message: &str) -> Option<String> {
    // SQLite: `UNIQUE constraint failed: staff.password`.
    if let Some((kind, columns)) = message.split_once(" constraint failed: ") {
        return ["UNIQUE", "NOT NULL", "CHECK"].contains(&kind).then(|| columns.to_owned());
    }
    // MariaDB: the key comes last, after the value.
    let (_, key) = message.strip_prefix("Duplicate entry '")?.rsplit_once("' for key '")?;
    Some(key.trim_matches('\'').to_owned())
}

impl DatabaseError for Withheld {
    fn message(&self) -> &str {
        &self.message
    }

    fn code(&self) -> Option<Cow<'_, str>> {
        self.code.as_deref().map(Cow::Borrowed)
    }

    fn constraint(&self) -> Option<&str> {
        self.constraint.as_deref()
    }

    fn kind(&self) -> ErrorKind {
        match self.kind {
            ErrorKind::UniqueViolation => ErrorKind::UniqueViolation,
            ErrorKind::ForeignKeyViolation => ErrorKind::ForeignKeyViolation,
            ErrorKind::NotNullViolation => ErrorKind::NotNullViolation,
            ErrorKind::CheckViolation => ErrorKind::CheckViolation,
            _ => ErrorKind::Other,
        }
    }

    fn as_error(&self) -> &(dyn Error + Send + Sync + 'static) {
        self
    }

    fn as_error_mut(&mut self) -> &mut (dyn Error + Send + Sync + 'static) {
        self
    }

    fn into_error(self: Box<Self>) -> Box<dyn Error + Send + Sync + 'static> {
        self
    }
}

impl fmt::Debug for Withheld {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl fmt::Display for Withheld {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for Withheld {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_constraint_is_told_and_never_a_value() {
        let found = |message| constraint_in(message);
        assert_eq!(found("UNIQUE constraint failed: staff.password").as_deref(), Some("staff.password"));
        assert_eq!(found("Duplicate entry 's3cr3t' for key 'password'").as_deref(), Some("password"));
        let quoted = "Duplicate entry 'a' for key 's3cr3t' for key 'password'";
        assert_eq!(found(quoted).as_deref(), Some("password"));
        for quoting in [
            "Duplicate entry 'UNIQUE constraint failed: s3cr3t' for key 'password'",
            "Duplicate entry ' constraint failed: s3cr3t' for key 'password'",
            "Incorrect date value: 'x' for key 's3cr3t' for column 'born' at row 1",
            "invalid input: \"UNIQUE constraint failed: s3cr3t\"",
        ] {
            assert!(found(quoting).is_none_or(|told| !told.contains("s3cr3t")), "{quoting}");
        }
    }

    #[test]
    fn errors_about_unreadable_values_lose_their_words() {
        let source: Arc<dyn Error + Send + Sync> = Arc::from(Box::<dyn Error + Send + Sync>::from("s3cr3t"));
        for error in [
            DbErr::Type("unexpected value for Status enum: s3cr3t".to_owned()),
            DbErr::Json("invalid type: string \"s3cr3t\"".to_owned()),
            DbErr::Custom("s3cr3t".to_owned()),
            DbErr::TryIntoErr { from: "String", into: "Key", source },
            DbErr::Query(RuntimeErr::Internal("s3cr3t".to_owned())),
            DbErr::Query(RuntimeErr::SqlxError(Arc::new(sqlx::Error::Decode("s3cr3t".into())))),
        ] {
            let left = withhold(error);
            assert!(!format!("{left} {left:?}").contains("s3cr3t"), "{left:?}");
        }
        assert!(Refused::of(&withhold(Refused::NoTeam.into())).is_some(), "a refusal passes");
    }
}
