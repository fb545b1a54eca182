//! PostgreSQL keeps teams apart: roles with the rights that each needs, and row-level security on every table of ours.
//!
//! An application that connects as the role of [`Roles::app`] sees and writes the rows of the team that its transaction has
//! set, and no other; without a team it sees nothing. The library sets the team when a unit of work begins. The role owns no
//! table, changes no event, and writes neither the number of an event nor the time at which it was recorded.
//! What is promised, against whom, and how to deploy it step by step: [`security`](crate::security).
//!
//! ```
//! use events_sea_orm::migration::{self, isolation::Roles};
//!
//! let roles = Roles::app("shop_app").owner("shop_owner").delivery("shop_delivery").auditor("shop_auditor");
//! println!("{}", roles.create_sql()); // to be run once, by whoever may create roles
//!
//! let mut steps = migration::steps();
//! steps.extend(migration::isolation::steps(&roles)); // after those of every table
//! assert!(roles.create_sql().contains(r#"CREATE ROLE "shop_app" LOGIN NOINHERIT;"#));
//! ```
//!
//! The steps run as a superuser, or as a member of both the old and the new owner. They take away what the named roles and
//! PUBLIC may do with these tables before they grant anything, so other grants to them are gone. Other roles keep theirs. On
//! SQLite, MariaDB and MySQL, which have no row-level security, they do nothing.
//!
//! What is not named when they run again is as it was: roles and setting stand in the policies. To take one of the roles
//! away, take the steps back and run them without it.
//!
//! A table that is made later, of threads for one, is not covered: run the steps [`again`]. Until then
//! [`Events::verify`](crate::Events::verify) reports it.

mod create;
mod tracked;

use sea_orm::{ConnectionTrait, DatabaseConnection, DbErr, Statement};
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager};

pub use self::tracked::TeamPolicies;
use crate::backend::isolation::{
    EVENTS, Relation, RoleNames, guard_functions, has_row_level_security, inspect, read_relations, sql,
};

/// The roles of an application on PostgreSQL.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "it changes nothing by itself"]
pub struct Roles(RoleNames);

impl Roles {
    /// The role that the application connects as, or that its logins are members of. It sees and writes the rows of the
    /// team that is set.
    pub fn app(name: impl Into<String>) -> Self {
        Self(RoleNames::app(name))
    }

    /// The role that owns the tables. Without it they keep their owner.
    pub fn owner(mut self, name: impl Into<String>) -> Self {
        self.0.owner = Some(name.into());
        self
    }

    /// The role of work for all teams: it sees and writes the rows of every team. The application takes it for such a unit
    /// of work, if [`EventsBuilder::all_teams_role`](crate::EventsBuilder::all_teams_role) names it.
    pub fn delivery(mut self, name: impl Into<String>) -> Self {
        self.0.delivery = Some(name.into());
        self
    }

    /// A role that reads the rows of every team and writes none.
    pub fn auditor(mut self, name: impl Into<String>) -> Self {
        self.0.auditor = Some(name.into());
        self
    }

    /// The setting that the policies compare with a row's team. Unless it is said, it is the one that the policies compare
    /// which are there, and `app.team_id` the first time. `Events` finds it in them.
    pub fn team_setting(mut self, name: impl Into<String>) -> Self {
        self.0.setting = Some(name.into());
        self
    }
}

/// Every step, in order. New versions of this library only ever add to the end.
///
/// Each runs in one transaction. Running one again leaves the same. Taken back, row-level security is off, policies and
/// grants are gone, and tables that went to the named owner belong to whoever takes it back. Left are USAGE on the schema,
/// which the application's own tables may need, and the roles.
pub fn steps(roles: &Roles) -> Vec<Box<dyn MigrationTrait>> {
    vec![Box::new(Isolation { name: "events_isolation".to_owned(), roles: roles.clone(), is_again: false })]
}

/// The steps once more under a name of their own, after tables came that were not there the first time. Taken back, it does
/// nothing: the first ones do.
///
/// ```
/// use events_sea_orm::migration::{self, isolation::Roles};
///
/// let roles = Roles::app("shop_app");
/// let mut steps = migration::steps();
/// steps.extend(migration::isolation::steps(&roles));
/// // Some months later:
/// # #[cfg(feature = "threads")]
/// steps.extend(migration::threads::steps());
/// steps.push(migration::isolation::again("isolation_of_threads", &roles));
/// ```
pub fn again(name: impl Into<String>, roles: &Roles) -> Box<dyn MigrationTrait> {
    Box::new(Isolation { name: name.into(), roles: roles.clone(), is_again: true })
}

/// Runs every step, for applications without a `Migrator`. Safe to run again.
///
/// # Errors
/// [`DbErr::Custom`] for a role that is not there, with the statement that creates it, for a name that cannot be one, or if
/// the table of events is missing; else the database's. Nothing is changed then.
pub async fn up(db: &DatabaseConnection, roles: &Roles) -> Result<(), DbErr> {
    super::run(db, steps(roles)).await
}

/// Takes every step back: any role that may see these tables sees every team's rows.
///
/// # Errors
/// As [`up`].
pub async fn down(db: &DatabaseConnection, roles: &Roles) -> Result<(), DbErr> {
    super::take_back(db, steps(roles)).await
}

struct Isolation {
    name: String,
    roles: Roles,
    is_again: bool,
}

impl MigrationName for Isolation {
    fn name(&self) -> &str {
        &self.name
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Isolation {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        if !has_row_level_security(manager.get_database_backend()) {
            return Ok(());
        }
        let transaction = manager.begin().await?;
        isolate(transaction.get_connection(), &self.roles).await?; // dropped, it is rolled back
        transaction.commit().await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        if self.is_again || !has_row_level_security(manager.get_database_backend()) {
            return Ok(());
        }
        let transaction = manager.begin().await?;
        open(transaction.get_connection(), &self.roles).await?;
        transaction.commit().await
    }
}

async fn isolate(db: &impl ConnectionTrait, roles: &Roles) -> Result<(), DbErr> {
    roles.check(db).await?;
    let relations = read_relations(db).await?;
    let names = &roles.0.clone().or_as_before(&inspect::policies(db, &relations).await?);
    let Some(events) = relations.iter().find(|relation| relation.of == EVENTS) else {
        return Err(DbErr::Custom(
            "the table `events` is not on the search path: run the steps of `events_sea_orm::migration` first".to_owned(),
        ));
    };
    if let (None, true) = (&names.owner, events.owner == names.app) {
        return Err(DbErr::Custom(format!(
            "the role `{}` owns `events`, and an owner can let itself see everything: name another with `Roles::owner`",
            names.app
        )));
    }
    let users = names.granted().into_iter().chain(names.owner.as_deref());
    let users: Vec<_> = users.map(sql::identifier).collect();
    let mut statements = vec![format!("GRANT USAGE ON SCHEMA {} TO {}", events.schema, users.join(", "))];
    if let Some(owner) = &names.owner {
        let owner = sql::identifier(owner);
        let functions = guard_functions(db, &relations).await?;
        statements.extend(functions.iter().map(|name| format!("ALTER FUNCTION {name} OWNER TO {owner}")));
    }
    // Tables last: who gives one away may have no say in it any more.
    statements.extend(mine(&relations)?.into_iter().flat_map(|relation| names.isolate(relation)));
    execute(db, statements).await
}

async fn open(db: &impl ConnectionTrait, roles: &Roles) -> Result<(), DbErr> {
    roles.check(db).await?;
    let relations = read_relations(db).await?;
    let names = &roles.0.clone().or_as_before(&inspect::policies(db, &relations).await?);
    let mut statements: Vec<_> =
        mine(&relations)?.into_iter().flat_map(|relation| names.open(relation)).collect();
    if relations.iter().any(|relation| names.owner.as_ref() == Some(&relation.owner)) {
        let functions = guard_functions(db, &relations).await?;
        statements
            .extend(functions.iter().map(|name| format!("ALTER FUNCTION {name} OWNER TO CURRENT_USER")));
    }
    execute(db, statements).await
}

/// What whoever runs the steps may change. A partition of somebody else's is left as it is: without a right of its own on it
/// the application reaches it through its parent alone, and with one the self-check says so.
fn mine(relations: &[Relation]) -> Result<Vec<&Relation>, DbErr> {
    if let Some(other) = relations.iter().find(|relation| !relation.is_own && !relation.is_partition) {
        return Err(DbErr::Custom(format!(
            "`{}` belongs to `{}`: run the steps as a member of that role, or as a superuser",
            other.name, other.owner
        )));
    }
    Ok(relations.iter().filter(|relation| relation.is_own).collect())
}

/// In one round trip.
async fn execute(db: &impl ConnectionTrait, statements: Vec<String>) -> Result<(), DbErr> {
    db.execute_unprepared(&statements.join(";\n")).await.map(drop)
}

impl Roles {
    /// These, and where one is not named, the one for which there are policies.
    async fn or_as_before(&self, db: &impl ConnectionTrait) -> Result<RoleNames, DbErr> {
        let policies = inspect::policies(db, &read_relations(db).await?).await?;
        Ok(self.0.clone().or_as_before(&policies))
    }

    /// Whether all names can be and all roles are there.
    async fn check(&self, db: &impl ConnectionTrait) -> Result<(), DbErr> {
        let named = self.create_statements();
        for (role, _) in &named {
            sql::check_role(role).map_err(DbErr::Custom)?;
        }
        sql::check_setting(self.0.setting()).map_err(DbErr::Custom)?;
        if let Some((twice, _)) =
            named.iter().enumerate().find_map(|(i, role)| named[..i].iter().find(|other| other.0 == role.0))
        {
            return Err(DbErr::Custom(format!(
                "the role `{twice}` is named for two purposes, and would have the rights of both: give each a role of its own"
            )));
        }
        let names: Vec<_> = named.iter().map(|(role, _)| role).collect();
        let select = Statement::from_sql_and_values(
            db.get_database_backend(),
            "SELECT r.name FROM json_array_elements_text($1::text::json) AS r(name) \
             WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = r.name)",
            [serde_json::json!(names).to_string().into()],
        );
        let Some(row) = db.query_one_raw(select).await? else { return Ok(()) };
        let missing: String = row.try_get("", "name")?;
        let create = named.iter().find(|(role, _)| *role == missing).map(|(_, create)| create.as_str());
        Err(DbErr::Custom(format!(
            "there is no role `{missing}`: run `{}` as a role that may, or all that `Roles::create_sql` answers",
            create.unwrap_or_default()
        )))
    }
}
