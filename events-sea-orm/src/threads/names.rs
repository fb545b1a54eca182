//! The names of actors, as the application knows them.

use std::{collections::HashMap, future::Future, pin::Pin};

use crate::{consumer::ConsumerError, transaction::EventTransaction};

/// Names by the identifiers of actors.
pub type Names = HashMap<String, String>;

pub(super) type NamesFuture<'a> = Pin<Box<dyn Future<Output = Result<Names, ConsumerError>> + Send + 'a>>;

/// Ties a function's future to the lifetimes of its arguments.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not tell the names of actors",
    label = "no such function",
    note = "`async fn(&EventTransaction, &[String]) -> Result<HashMap<String, String>, ConsumerError>` does"
)]
pub trait ActorNames<'a>: Send + Sync + 'static {
    /// What it returns.
    type Future: Future<Output = Result<Names, ConsumerError>> + Send + 'a;

    /// Calls it.
    fn names(&self, txn: &'a EventTransaction, ids: &'a [String]) -> Self::Future;
}

impl<'a, F, R> ActorNames<'a> for F
where
    F: Fn(&'a EventTransaction, &'a [String]) -> R + Send + Sync + 'static,
    R: Future<Output = Result<Names, ConsumerError>> + Send + 'a,
{
    type Future = R;

    fn names(&self, txn: &'a EventTransaction, ids: &'a [String]) -> R {
        self(txn, ids)
    }
}

/// The same with its type forgotten.
pub(super) trait Resolver: Send + Sync {
    fn resolve<'a>(&'a self, txn: &'a EventTransaction, ids: &'a [String]) -> NamesFuture<'a>;
}

impl<F: for<'a> ActorNames<'a>> Resolver for F {
    fn resolve<'a>(&'a self, txn: &'a EventTransaction, ids: &'a [String]) -> NamesFuture<'a> {
        Box::pin(self.names(txn, ids))
    }
}
