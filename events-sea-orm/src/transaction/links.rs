//! Links: rows of a junction. SeaORM removes those of a parent that goes by one plain DELETE, without hooks.

use sea_orm::{DbBackend, DbErr, Statement, StatementBuilder};

use super::{
    EventTransaction,
    sql::Table,
    write::{Reply, Verb},
};
use crate::{
    backend::{self, Lock},
    error::Refused,
    observe,
    record::{self, Change, SaveOptions},
    tracked::{self, Definition},
    withhold::withhold_for,
};

/// A DELETE of links, and the question for the rows that it removes.
pub(super) struct Links {
    definition: &'static Definition,
    select: Statement,
}

/// What this DELETE removes, if it is one of links: its condition compares nothing but the columns by which a
/// junction refers to others.
pub(super) fn of(table: &Table, delete: &Statement, backend: DbBackend) -> Option<Links> {
    let definition = tracked::find(table)?;
    let columns = definition.link_columns()?;
    let at = delete.sql.find(" WHERE ")?;
    let condition = &delete.sql[at..];
    if !compares_only(&condition[" WHERE ".len()..], definition.table(), &columns) {
        return None;
    }
    let all = StatementBuilder::build(&definition.select(), &backend);
    let lock = backend::lock_words(backend, Lock::ForDelete);
    let sql = format!("{}{condition}{lock}", all.sql);
    let select = Statement { sql, values: delete.values.clone(), db_backend: backend };
    Some(Links { definition, select })
}

/// Whether a condition names these columns of this table alone, and says no more than `=`, `IN`, `AND` and `OR`.
fn compares_only(condition: &str, table: &str, columns: &[String]) -> bool {
    let mut rest = condition;
    while let Some(first) = rest.chars().next() {
        rest = &rest[first.len_utf8()..];
        match first {
            '"' | '`' => {
                let Some((name, after)) = rest.split_once(first) else { return false };
                if name != table && !columns.iter().any(|column| column == name) {
                    return false;
                }
                rest = after;
            }
            ' ' | '(' | ')' | ',' | '.' | '=' | '?' | '$' => {}
            _ if first.is_ascii_digit() => {}
            _ if first.is_ascii_uppercase() => {
                let end = rest.find(|c: char| !c.is_ascii_uppercase()).unwrap_or(rest.len());
                let word = &condition[condition.len() - rest.len() - 1..condition.len() - rest.len() + end];
                if !["AND", "IN", "OR"].contains(&word) {
                    return false;
                }
                rest = &rest[end..];
            }
            _ => return false,
        }
    }
    true
}

impl EventTransaction {
    /// Reads the links under lock, removes them, and records each.
    pub(super) async fn delete_links(&self, links: Links, delete: Statement) -> Result<Reply, DbErr> {
        let Links { definition, select } = links;
        withhold_for(definition, self.read_and_delete(definition, select, delete).await)
    }

    async fn read_and_delete(
        &self,
        definition: &'static Definition,
        select: Statement,
        delete: Statement,
    ) -> Result<Reply, DbErr> {
        let (busy, doubt) = self.begin_write().await?;
        let Reply::All(rows) = self.send(&busy, Verb::QueryAll, select).await? else {
            return Err(Refused::UnexpectedRow { object_type: definition.object_type() }.into());
        };
        let team = self.team_scope();
        let read = rows.iter().map(|row| definition.image(row, "")).collect::<Result<Vec<_>, DbErr>>();
        let allowed = read.map(|old_rows| {
            let refused = old_rows.iter().filter_map(|old| record::team_of(definition, old, &team).err());
            (refused.collect::<Vec<_>>(), old_rows)
        });
        let old_rows = match allowed {
            Ok((refused, old_rows)) if refused.is_empty() => old_rows,
            Ok((mut refused, old_rows)) => {
                doubt.settle(); // nothing was written
                let all = refused.len() == old_rows.len();
                let last = refused.pop().unwrap_or(Refused::NoTeam);
                return match (last, backend::nothing_executed(self.unit.backend)) {
                    // The parent is not of this team either: to it, neither is there.
                    (last @ Refused::OtherTeam { .. }, Some(nothing)) if all => {
                        observe::other_team(&last);
                        Ok(Reply::Executed(nothing))
                    }
                    (last, _) => Err(last.into()),
                };
            }
            Err(error) => {
                doubt.settle(); // nothing was written
                return Err(error);
            }
        };
        let reply = self.send(&busy, Verb::Execute, delete).await?;
        let recorded = if reply.rows() == old_rows.len() as u64 {
            let options = SaveOptions::default();
            self.recorder(definition, &options).and_then(|recorder| {
                old_rows.iter().try_for_each(|old| self.record(&recorder, Change::Deleted(old)))
            })
        } else {
            // A link that came in between went with the others, and nobody read it.
            Err(Refused::UnexpectedRow { object_type: definition.object_type() })
        };
        self.settle(recorded.map_err(DbErr::from), doubt).map(|()| reply)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_comparisons_of_link_columns_pass() {
        let columns = ["tag_id".to_owned(), "post_id".to_owned()];
        let check = |condition: &str| compares_only(condition, "post_tags", &columns);
        for condition in [
            r#""post_tags"."post_id" = $1"#,
            r#""post_tags"."post_id" = $1 OR "post_tags"."tag_id" = $2"#,
            r#"("post_tags"."post_id", "post_tags"."tag_id") IN (($1, $2), ($3, $4))"#,
            "`post_tags`.`tag_id` = ?",
        ] {
            assert!(check(condition), "{condition}");
        }
        for condition in [
            r#""post_tags"."note" = $1"#,
            r#""post_tags"."post_id" <> $1"#,
            r#""post_tags"."post_id" = $1 AND TRUE"#,
            r#""post_tags"."post_id" = (SELECT 1)"#,
            r#""post_tags"."post_id" = $1; DELETE"#,
            r#""post_tags"."post_id"#,
            "post_id = 1 or true",
        ] {
            assert!(!check(condition), "{condition}");
        }
    }
}
