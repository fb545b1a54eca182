//! Database errors without the message of the database.
//!
//! `Duplicate entry 's3cr3t' for key 'api_key'`: where an entity has redacted fields, only the code and the
//! constraint may be passed on.
//!
//! Three rules say where. What is known to be about rows of such an entity: [`withhold_for`]. A statement that an
//! application sent: [`Sent`], by its text and by what the database says of it. What ends a transaction or a savepoint:
//! [`withhold_at_end`], since a deferred constraint is looked at then, and nothing says whose.

use std::{borrow::Cow, error::Error, fmt, sync::Arc};

use sea_orm::{
    DbBackend, DbErr, RuntimeErr, Statement,
    sqlx::{
        self,
        error::{DatabaseError, ErrorKind},
    },
};

use crate::{
    backend,
    error::Refused,
    tracked::{self, Definition},
    transaction::{Kind, inspect_text},
};

/// What is left of a database error: enough to decide, nothing that quotes a value.
struct Withheld {
    /// For downcasts alone, by which `DbErr::sql_err` and handlers of an application's own know what it is.
    original: Option<Box<dyn DatabaseError>>,
    code: Option<String>,
    constraint: Option<String>,
    table: Option<String>,
    kind: ErrorKind,
    message: String,
}

/// `result`, its error stripped of the database's words where rows of this entity hold what is redacted.
pub(crate) fn withhold_for<T>(definition: &Definition, result: Result<T, DbErr>) -> Result<T, DbErr> {
    if definition.redacts() { result.map_err(withhold) } else { result }
}

/// The same of a save's own answer, where a hook of the user's own may have refused in its own words.
pub(crate) fn withhold_answer<T>(definition: &Definition, result: Result<T, DbErr>) -> Result<T, DbErr> {
    match result {
        // The database's own errors are withheld where they come in.
        Err(error @ (DbErr::Type(_) | DbErr::Json(_) | DbErr::TryIntoErr { .. } | DbErr::Query(_)))
            if database_error(&error).is_none() =>
        {
            withhold_for(definition, Err(error))
        }
        other => other,
    }
}

/// An error of what begins or ends a transaction or a savepoint.
pub(crate) fn withhold_at_end(error: DbErr) -> DbErr {
    if tracked::any_redacts() { withhold(error) } else { error }
}

/// A statement that was sent: decides whether an error of it may be passed on as it is.
pub(crate) struct Sent {
    /// None where no known entity redacts: then every error may be passed on, unless one became known meanwhile.
    sql: Option<String>,
    backend: DbBackend,
}

impl Sent {
    pub(crate) fn of(statement: &Statement) -> Self {
        let sql = tracked::any_redacts().then(|| statement.sql.clone());
        Self { sql, backend: statement.db_backend }
    }

    /// `error`, stripped of the database's words if it may be about rows that hold what is redacted.
    pub(crate) fn withhold(&self, error: DbErr) -> DbErr {
        match &self.sql {
            None if !tracked::any_redacts() => error,
            Some(sql) if !self.may_be_of_redacting(sql, &error) => error,
            _ => withhold(error),
        }
    }

    fn may_be_of_redacting(&self, text: &str, error: &DbErr) -> bool {
        let sql = text.to_ascii_lowercase();
        // What a trigger, a cascade, a partition or a constraint that was deferred says of a table that is not in the
        // statement, nobody can tell whose it is.
        let table = database_error(error).and_then(DatabaseError::table).map(str::to_ascii_lowercase);
        if table.is_some_and(|table| !is_named(&sql, &table)) {
            return true;
        }
        // Nor what a function read that failed in the database's words.
        if database_error(error).is_some_and(backend::failed_in_a_function) {
            return true;
        }
        // Its message, detail and context: a foreign key names the other table, a trigger its statement.
        let said = database_error(error).map(|error| format!("{error:?}").to_ascii_lowercase());
        let names = |definition: &'static Definition| {
            let table = definition.table().to_ascii_lowercase();
            is_named(&sql, &table) || said.as_ref().is_some_and(|said| is_named(said, &table))
        };
        // `U&"\0063ampaigns"` may be any name, and code that names no table may write to any.
        let mut redacting = tracked::known().into_iter().filter(|known| known.redacts());
        sql.contains("u&\"") || redacting.any(names) || {
            let inspected = inspect_text(text, self.backend, &[]);
            inspected.is_opaque() || inspected.kind == Kind::Unknown || checks_what_was_deferred(&sql)
        }
    }
}

/// `SET CONSTRAINTS` looks at rows that were written before it.
fn checks_what_was_deferred(sql: &str) -> bool {
    is_named(sql, "set") && is_named(sql, "constraints")
}

/// Whether a text has this name, not as a part of a longer one. In strings too: they may be run.
fn is_named(text: &str, name: &str) -> bool {
    let goes_on = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    text.match_indices(name).any(|(at, _)| {
        let (before, after) = (&text[..at], &text[at + name.len()..]);
        !goes_on(before.chars().next_back()) && !goes_on(after.chars().next())
    })
}

fn database_error(error: &DbErr) -> Option<&dyn DatabaseError> {
    match error {
        DbErr::Exec(RuntimeErr::SqlxError(error))
        | DbErr::Query(RuntimeErr::SqlxError(error))
        | DbErr::Conn(RuntimeErr::SqlxError(error)) => error.as_database_error(),
        _ => None,
    }
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
    if is_of_connection(&error) {
        return RuntimeErr::SqlxError(error);
    }
    let stripped = match Arc::try_unwrap(error) {
        Ok(sqlx::Error::Database(original)) => Some(Withheld::of(&*original).over(original)),
        Ok(_) => None,
        // Somebody else holds it too: it cannot be kept here.
        Err(shared) => shared.as_database_error().map(Withheld::of),
    };
    RuntimeErr::SqlxError(Arc::new(match stripped {
        Some(stripped) => sqlx::Error::Database(Box::new(stripped)),
        None => sqlx::Error::Protocol(WITHHELD.into()),
    }))
}

/// Of the connection and not the statement: nothing of the row is in it.
fn is_of_connection(error: &sqlx::Error) -> bool {
    use sqlx::Error::{Io, PoolClosed, PoolTimedOut, WorkerCrashed};
    matches!(error, Io(_) | PoolClosed | PoolTimedOut | WorkerCrashed)
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
        let table = error.table().map(str::to_owned);
        Self { original: None, kind: error.kind(), code, constraint, table, message }
    }

    fn over(self, original: Box<dyn DatabaseError>) -> Self {
        Self { original: Some(original), ..self }
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

    fn table(&self) -> Option<&str> {
        self.table.as_deref()
    }

    fn kind(&self) -> ErrorKind {
        match self.kind {
            ErrorKind::UniqueViolation => ErrorKind::UniqueViolation,
            ErrorKind::ForeignKeyViolation => ErrorKind::ForeignKeyViolation,
            ErrorKind::NotNullViolation => ErrorKind::NotNullViolation,
            ErrorKind::CheckViolation => ErrorKind::CheckViolation,
            ErrorKind::ExclusionViolation => ErrorKind::ExclusionViolation,
            _ => ErrorKind::Other,
        }
    }

    // These three are what a downcast asks, and nothing else: `DbErr::sql_err` finds the driver's error by them, and
    // takes the text from `message` above.

    fn as_error(&self) -> &(dyn Error + Send + Sync + 'static) {
        self.original.as_ref().map_or(self, |original| original.as_error())
    }

    fn as_error_mut(&mut self) -> &mut (dyn Error + Send + Sync + 'static) {
        match self.original {
            Some(ref mut original) => original.as_error_mut(),
            None => self,
        }
    }

    fn into_error(self: Box<Self>) -> Box<dyn Error + Send + Sync + 'static> {
        match self.original {
            Some(original) => original.into_error(),
            None => self,
        }
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
    fn a_table_is_named_by_its_whole_name() {
        for text in
            ["update vaults set", "select 1 from \"vaults\"", "do $$ delete from vaults; $$", "vaults"]
        {
            assert!(is_named(text, "vaults"), "{text}");
        }
        for text in ["select * from vaults_old", "select * from my_vaults", "select evaults", "evaultsé"] {
            assert!(!is_named(text, "vaults"), "{text}");
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
