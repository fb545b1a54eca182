//! Who is a member of which role, and the statements that end a membership or what it inherits.
//!
//! Since PostgreSQL 16 each membership says itself whether it inherits, and remembers who granted it; before, the member's
//! own attribute said so for all of them.

use sea_orm::{ConnectionTrait, DbErr, FromQueryResult};

use super::{Relation, inspect, sql::identifier};

/// A role that another was granted.
#[derive(Debug, Clone, FromQueryResult)]
pub(crate) struct Membership {
    member: String,
    role: String,
    grantor: String,
    inherits: bool,
    /// Whether the membership itself says that it inherits.
    is_per_grant: bool,
}

/// Those by which the roles that are looked at are, or can become, others.
#[derive(Debug, Clone)]
pub(crate) struct Memberships(Vec<Membership>);

impl Memberships {
    pub(crate) async fn read(db: &impl ConnectionTrait, relations: &[Relation]) -> Result<Self, DbErr> {
        const MEMBERSHIPS: &str = ", up(oid) AS (SELECT oid FROM examined UNION SELECT m.roleid FROM up \
             JOIN pg_catalog.pg_auth_members m ON m.member = up.oid) \
             SELECT member.rolname::text AS member, role.rolname::text AS role, coalesce(grantor.rolname::text, '') AS grantor, \
             coalesce((to_jsonb(m) ->> 'inherit_option')::boolean, member.rolinherit) AS inherits, \
             to_jsonb(m) ->> 'inherit_option' IS NOT NULL AS is_per_grant \
             FROM up JOIN pg_catalog.pg_auth_members m ON m.member = up.oid \
             JOIN pg_catalog.pg_roles member ON member.oid = m.member JOIN pg_catalog.pg_roles role ON role.oid = m.roleid \
             LEFT JOIN pg_catalog.pg_roles grantor ON grantor.oid = m.grantor ORDER BY 1, 2, 3";
        Ok(Self(inspect::select(db, relations, MEMBERSHIPS).await?))
    }

    /// The statements after which `member` is no member of `role` any more. That it is a member of the application's role
    /// is as it should be.
    pub(crate) fn leave(&self, member: &str, role: &str, app: Option<&str>) -> Vec<String> {
        let statement = |of: &Membership| {
            format!("REVOKE {} FROM {}{}", identifier(&of.role), identifier(&of.member), of.granted_by())
        };
        self.wrong(member, role, app, false).map(statement).collect()
    }

    /// The statements after which `member` does not inherit from `role` any more. It can still take it.
    pub(crate) fn stop_inheriting(&self, member: &str, role: &str, app: Option<&str>) -> Vec<String> {
        let statement = |of: &Membership| match of.is_per_grant {
            true => {
                let (role, member) = (identifier(&of.role), identifier(&of.member));
                format!("GRANT {role} TO {member} WITH INHERIT FALSE{}", of.granted_by())
            }
            // All that it inherits goes, and the application's role inherits nothing that it needs.
            false if app == Some(of.member.as_str()) => {
                format!("ALTER ROLE {} NOINHERIT", identifier(&of.member))
            }
            false => format!("REVOKE {} FROM {}", identifier(&of.role), identifier(&of.member)),
        };
        let mut statements: Vec<_> = self.wrong(member, role, app, true).map(statement).collect();
        statements.dedup();
        statements
    }

    /// The statement after which `member` inherits from `role`. To grant again what it is a member of changes nothing.
    pub(crate) fn inherit(&self, member: &str, role: &str) -> String {
        let grant = format!("GRANT {} TO {}", identifier(role), identifier(member));
        let mut granted = self.0.iter().filter(|of| of.member == member && of.role == role && !of.inherits);
        match granted.next() {
            Some(of) if of.is_per_grant => format!("{grant} WITH INHERIT TRUE"),
            Some(_) => format!("ALTER ROLE {} INHERIT", identifier(member)),
            None => grant,
        }
    }

    /// The grants of the membership that leads from one to the other and should not.
    fn wrong<'a>(
        &'a self,
        member: &str,
        role: &str,
        app: Option<&str>,
        inheriting: bool,
    ) -> impl Iterator<Item = &'a Membership> {
        let path = self.path(member, role, inheriting);
        let wrong = path.into_iter().find(|of| app != Some(of.role.as_str()));
        let is_same = move |of: &&Membership| {
            wrong.is_some_and(|wrong| wrong.member == of.member && wrong.role == of.role)
                && (of.inherits || !inheriting)
        };
        self.0.iter().filter(is_same)
    }

    /// The shortest way from one role to another.
    fn path<'a>(&'a self, from: &str, to: &str, inheriting: bool) -> Vec<&'a Membership> {
        let mut paths: Vec<Vec<&Membership>> = vec![Vec::new()];
        let mut seen = vec![from];
        while !paths.is_empty() {
            let mut longer = Vec::new();
            for path in &paths {
                let end = path.last().map_or(from, |last| last.role.as_str());
                for next in self.0.iter().filter(|next| next.member == end && (next.inherits || !inheriting))
                {
                    if next.role == to {
                        return path.iter().copied().chain([next]).collect();
                    }
                    if !seen.contains(&next.role.as_str()) {
                        seen.push(&next.role);
                        longer.push(path.iter().copied().chain([next]).collect());
                    }
                }
            }
            paths = longer;
        }
        Vec::new()
    }
}

impl Membership {
    /// Another grantor's would stay.
    fn granted_by(&self) -> String {
        match self.is_per_grant && !self.grantor.is_empty() {
            true => format!(" GRANTED BY {}", identifier(&self.grantor)),
            false => String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memberships(edges: &[(&str, &str, bool)], is_per_grant: bool) -> Memberships {
        let edge = |(member, role, inherits): &(&str, &str, bool)| Membership {
            member: (*member).to_owned(),
            role: (*role).to_owned(),
            grantor: "postgres".to_owned(),
            inherits: *inherits,
            is_per_grant,
        };
        Memberships(edges.iter().map(edge).collect())
    }

    #[test]
    fn a_member_that_inherits_nothing_is_made_to_inherit() {
        let nobody = memberships(&[], false);
        assert_eq!(nobody.inherit("login", "app"), r#"GRANT "app" TO "login""#);
        let old = memberships(&[("login", "app", false)], false);
        assert_eq!(old.inherit("login", "app"), r#"ALTER ROLE "login" INHERIT"#);
        let new = memberships(&[("login", "app", false)], true);
        assert_eq!(new.inherit("login", "app"), r#"GRANT "app" TO "login" WITH INHERIT TRUE"#);
    }

    #[test]
    fn the_membership_that_should_not_be_is_ended() {
        let old = memberships(
            &[("login", "app", true), ("app", "delivery", true), ("login", "x", true), ("x", "owner", true)],
            false,
        );
        assert_eq!(old.leave("login", "owner", Some("app")), [r#"REVOKE "x" FROM "login""#]);
        assert_eq!(old.stop_inheriting("login", "delivery", Some("app")), [r#"ALTER ROLE "app" NOINHERIT"#]);
        assert_eq!(old.leave("login", "nobody", Some("app")), Vec::<String>::new());
        let both = memberships(
            &[("login", "app", true), ("login", "delivery", true), ("app", "delivery", false)],
            false,
        );
        assert_eq!(
            both.stop_inheriting("login", "delivery", Some("app")),
            [r#"REVOKE "delivery" FROM "login""#]
        );
        let new = memberships(&[("login", "app", true), ("app", "delivery", true)], true);
        assert_eq!(
            new.stop_inheriting("login", "delivery", Some("app")),
            [r#"GRANT "delivery" TO "app" WITH INHERIT FALSE GRANTED BY "postgres""#]
        );
        assert_eq!(
            new.leave("app", "delivery", Some("app")),
            [r#"REVOKE "delivery" FROM "app" GRANTED BY "postgres""#]
        );
    }
}
