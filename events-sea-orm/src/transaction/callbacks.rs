//! SeaORM's callback forms: commit on `Ok`, roll back on `Err`.

use std::{
    fmt::{Debug, Display},
    future::Future,
    pin::Pin,
};

use sea_orm::{AccessMode, IsolationLevel, TransactionError, TransactionSession, TransactionTrait};

use super::EventTransaction;
use crate::connection::EventConnection;

/// Runs a callback that answers a boxed future.
pub(crate) async fn run_callback<F, T, E>(
    txn: EventTransaction,
    callback: F,
) -> Result<T, TransactionError<E>>
where
    F: for<'c> FnOnce(&'c EventTransaction) -> Pin<Box<dyn Future<Output = Result<T, E>> + Send + 'c>> + Send,
    T: Send,
    E: Display + Debug + Send,
{
    let result = callback(&txn).await;
    end(txn, result).await
}

async fn end<T, E: Display + Debug>(
    txn: EventTransaction,
    result: Result<T, E>,
) -> Result<T, TransactionError<E>> {
    match result {
        Ok(value) => {
            TransactionSession::commit(txn).await?;
            Ok(value)
        }
        Err(error) => {
            txn.rollback().await?;
            Err(TransactionError::Transaction(error))
        }
    }
}

/// SeaORM has these on its connections, not in a trait.
macro_rules! async_callbacks {
    ($connection:ty, $unit:literal) => {
        impl $connection {
            #[doc = concat!("Runs an async closure in ", $unit, ": commits if it answers `Ok`, rolls back if `Err`. As SeaORM's own.")]
            ///
            /// # Errors
            /// What the closure answers, and what `begin` and `commit` answer.
            pub async fn transaction_async<F, T, E>(&self, callback: F) -> Result<T, TransactionError<E>>
            where
                F: for<'c> AsyncFnOnce(&'c EventTransaction) -> Result<T, E> + Send,
                T: Send,
                E: Display + Debug + Send,
            {
                let txn = TransactionTrait::begin(self).await?;
                let result = callback(&txn).await;
                end(txn, result).await
            }

            /// As `transaction_async`, with another isolation level or access mode.
            ///
            /// # Errors
            /// As `transaction_async`.
            pub async fn transaction_with_config_async<F, T, E>(
                &self,
                callback: F,
                isolation_level: Option<IsolationLevel>,
                access_mode: Option<AccessMode>,
            ) -> Result<T, TransactionError<E>>
            where
                F: for<'c> AsyncFnOnce(&'c EventTransaction) -> Result<T, E> + Send,
                T: Send,
                E: Display + Debug + Send,
            {
                let txn = self.begin_with_config(isolation_level, access_mode).await?;
                let result = callback(&txn).await;
                end(txn, result).await
            }
        }
    };
}
async_callbacks!(EventConnection, "a unit of work");
async_callbacks!(EventTransaction, "a nested unit of work");
