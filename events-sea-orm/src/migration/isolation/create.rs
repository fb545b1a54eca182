//! The statements that create the roles. They are for a person to read and run.

use super::Roles;
use crate::backend::isolation::sql::{dollar_quoted, identifier, literal};

impl Roles {
    /// What creates these roles, as text: it is never run by the library, since it takes a role that may create others.
    /// Roles that are there already stay as they are, apart from the memberships. Running it again changes nothing.
    ///
    /// Each role has one purpose. Logins other than the application's are left to the administrator: the text says
    /// where.
    pub fn create_sql(&self) -> String {
        let mut body = String::from("\nBEGIN\n");
        for (role, create) in self.create_statements() {
            body.push_str(&format!(
                "    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = {}) THEN\n        {create}\n    END IF;\n",
                literal(role)
            ));
        }
        body.push_str("END\n");
        let mut sql = format!(
            "-- The roles of an event log: run once, as a role that may create roles.\nDO {};\n",
            dollar_quoted(&body)
        );
        let app = identifier(&self.0.app);
        if let Some(delivery) = &self.0.delivery {
            sql.push_str(&format!(
                "-- For work of all teams the application takes this role, until its transaction ends. It must not inherit it:\n\
                 -- the policies for all teams would always count.\n\
                 ALTER ROLE {app} NOINHERIT;\n{}",
                grant_without_inheriting(delivery, &self.0.app)
            ));
        }
        sql.push_str(
            "-- The application's login needs a password, unless the server trusts it otherwise. In psql:\n",
        );
        sql.push_str(&format!("--   \\password {app}\n"));
        if let Some(owner) = &self.0.owner {
            let owner = identifier(owner);
            sql.push_str(&format!(
                "-- Whoever runs migrations, unless a superuser, is a member of the owner, which may create in the schema:\n\
                 --   GRANT {owner} TO migrator; GRANT CREATE, USAGE ON SCHEMA public TO {owner};\n"
            ));
        }
        if let Some(auditor) = &self.0.auditor {
            sql.push_str(&format!(
                "-- Whoever audits is a member of its role:\n--   GRANT {} TO somebody;\n",
                identifier(auditor)
            ));
        }
        sql
    }

    /// Each role with the statement that creates it.
    pub(super) fn create_statements(&self) -> Vec<(&str, String)> {
        let create = |role: &str, how: &str| format!("CREATE ROLE {} {how};", identifier(role));
        let without_login = [&self.0.owner, &self.0.delivery, &self.0.auditor].into_iter().flatten();
        let without_login = without_login.map(|role| (role.as_str(), create(role, "NOLOGIN")));
        without_login.chain([(self.0.app.as_str(), create(&self.0.app, "LOGIN NOINHERIT"))]).collect()
    }
}

/// Since PostgreSQL 16 the membership says whether it inherits; before, the member does.
fn grant_without_inheriting(role: &str, member: &str) -> String {
    let grant = format!("GRANT {} TO {}", identifier(role), identifier(member));
    let body = format!(
        "\nBEGIN\n    IF current_setting('server_version_num')::int >= 160000 THEN\n        EXECUTE {};\n    ELSE\n        {grant};\n    END IF;\nEND\n",
        literal(&format!("{grant} WITH INHERIT FALSE, SET TRUE"))
    );
    format!("DO {};\n", dollar_quoted(&body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_end_where_they_should() {
        let roles = Roles::app("o'b$$\"x").delivery("D");
        let sql = roles.create_sql();
        assert!(sql.contains("DO $_$\nBEGIN\n"), "{sql}");
        assert!(
            sql.contains("rolname = 'o''b$$\"x') THEN\n        CREATE ROLE \"o'b$$\"\"x\" LOGIN NOINHERIT;"),
            "{sql}"
        );
        assert!(sql.contains("GRANT \"D\" TO \"o'b$$\"\"x\";"), "{sql}");
        assert!(!sql.contains("migrator"), "{sql}");
    }
}
