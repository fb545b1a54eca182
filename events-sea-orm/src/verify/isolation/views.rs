//! Views that pass the policies of what they show.

use super::{IsolationFinding, revoke};
use crate::backend::isolation::views::View;

/// One that asks as its reader can show no partition, and one that holds rows asks nobody: the rights on those are taken away.
pub(super) fn finding(view: &View) -> IsolationFinding {
    let View { name, owner, is_materialized, is_of_part, reader, .. } = view;
    let mend = match *is_materialized || *is_of_part {
        true => revoke("ALL", name, &view.grantees(), reader) + ";",
        false => format!("ALTER VIEW {name} SET (security_invoker = true);"),
    };
    IsolationFinding::View {
        view: name.clone(),
        owner: owner.clone(),
        role: reader.clone(),
        is_of_part: *is_of_part,
        needs: if *is_materialized { Vec::new() } else { view.needs() },
        mend,
    }
}
