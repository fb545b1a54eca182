//! The same policies for a user's own tables.

use sea_orm::{ConnectionTrait, DbErr, Statement, TransactionSession, TransactionTrait};

use super::{Roles, execute};
use crate::backend::isolation::{RoleNames, has_row_level_security, policy, sql};

/// Policies for a table of the application's own: made by [`Roles::team_policies`].
///
/// The application's role sees and writes the rows of the team that is set, the role for all teams and the table's owner
/// those of every team. Rights are left as they are: grant the application what it does with the table.
///
/// On databases without row-level security [`up`](Self::up) and [`down`](Self::down) do nothing.
#[derive(Debug, Clone)]
#[must_use = "it changes nothing until `up`"]
pub struct TeamPolicies<'a> {
    roles: &'a Roles,
    table: String,
    column: String,
}

impl Roles {
    /// The policies of a table whose `column` holds the team: `campaigns`, `sales.campaigns`, or in double quotes what has a
    /// dot in its name.
    ///
    /// ```no_run
    /// # use events_sea_orm::migration::isolation::Roles;
    /// # async fn example(db: &sea_orm::DatabaseConnection) -> Result<(), sea_orm::DbErr> {
    /// let roles = Roles::app("shop_app").delivery("shop_delivery");
    /// roles.team_policies("campaigns", "team_id").up(db).await?; // in a migration: `manager.get_connection()`
    /// println!("{}", roles.team_policies("campaigns", "team_id").sql("uuid", "shop_owner")?); // or to be run by hand
    /// # Ok(()) }
    /// ```
    pub fn team_policies(&self, table: impl Into<String>, column: impl Into<String>) -> TeamPolicies<'_> {
        TeamPolicies { roles: self, table: table.into(), column: column.into() }
    }
}

impl TeamPolicies<'_> {
    /// Makes the policies, in one transaction. Safe to run again. The column is of type `text`, `varchar`, `smallint`, `integer`,
    /// `bigint` or `uuid`: in others two teams may compare as one. A role for all teams and a setting that are not named are those of the policies of the log.
    ///
    /// # Errors
    /// [`DbErr::Custom`] for a table or column that is not there, a column of another type or a name that cannot be; else the
    /// database's.
    pub async fn up<C: ConnectionTrait + TransactionTrait>(&self, db: &C) -> Result<(), DbErr> {
        if !has_row_level_security(db.get_database_backend()) {
            return Ok(());
        }
        self.roles.check(db).await?;
        let (column_type, owner) = self.look_up(db).await?;
        let roles = self.roles.or_as_before(db).await?;
        run(db, self.statements(&roles, &column_type, &owner)?).await
    }

    /// Takes them back: row-level security is off on this table.
    ///
    /// # Errors
    /// As [`up`](Self::up).
    pub async fn down<C: ConnectionTrait + TransactionTrait>(&self, db: &C) -> Result<(), DbErr> {
        if !has_row_level_security(db.get_database_backend()) {
            return Ok(());
        }
        run(db, policy::open(&self.table()?)).await
    }

    /// What `up` runs, for a column of this type and a table of this owner. It asks no database, so what is not named is not
    /// known: name every role, and the setting if it is another than `app.team_id`.
    ///
    /// # Errors
    /// [`DbErr::Custom`] for a name that cannot be, or a type that policies cannot compare.
    pub fn sql(&self, column_type: &str, owner: &str) -> Result<String, DbErr> {
        let statements = self.statements(&self.roles.0, column_type, owner)?;
        Ok(statements.into_iter().map(|statement| statement + ";\n").collect())
    }

    fn table(&self) -> Result<String, DbErr> {
        sql::table(&self.table).map_err(DbErr::Custom)
    }

    fn statements(&self, roles: &RoleNames, column_type: &str, owner: &str) -> Result<Vec<String>, DbErr> {
        let table = self.table()?;
        let Some(column_type) = sql::team_type(column_type) else {
            return Err(DbErr::Custom(format!(
                "the column `{}` of `{}` has the type {column_type}, in which two teams may compare as one: give it one of {}",
                self.column,
                self.table,
                sql::TEAM_TYPES.join(", ")
            )));
        };
        sql::check_setting(roles.setting()).map_err(DbErr::Custom)?;
        for role in roles.granted().into_iter().chain([owner]) {
            sql::check_role(role).map_err(DbErr::Custom)?;
        }
        if owner == roles.app {
            return Err(DbErr::Custom(format!(
                "the role `{owner}` owns `{}`, and an owner can let itself see everything: give the table another owner first",
                self.table
            )));
        }
        Ok(roles.team_policies(&table, &self.column, column_type, Some(owner)))
    }

    /// The column's type and the table's owner.
    async fn look_up(&self, db: &impl ConnectionTrait) -> Result<(String, String), DbErr> {
        let select = Statement::from_sql_and_values(
            db.get_database_backend(),
            "SELECT format_type(a.atttypid, NULL) AS column_type, pg_get_userbyid(c.relowner)::text AS owner \
             FROM pg_catalog.pg_class c JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped \
             WHERE c.oid = to_regclass($1) AND a.attname = $2",
            [self.table()?.into(), self.column.as_str().into()],
        );
        let row = db.query_one_raw(select).await?;
        let row = row.ok_or_else(|| {
            DbErr::Custom(format!(
                "there is no table `{}` with a column `{}`: create it first, and name its schema if that is not on the search path",
                self.table, self.column
            ))
        })?;
        Ok((row.try_get("", "column_type")?, row.try_get("", "owner")?))
    }
}

async fn run<C: TransactionTrait>(db: &C, statements: Vec<String>) -> Result<(), DbErr> {
    let transaction = db.begin().await?;
    execute(&transaction, statements).await?; // dropped, it is rolled back
    transaction.commit().await
}
