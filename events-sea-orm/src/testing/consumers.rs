//! Consumers to order.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use events_core::Event;

use crate::{
    connection::EventConnection,
    consumer::{Consumer, ConsumerFuture},
    transaction::EventTransaction,
};

/// A consumer that keeps what it is handed. Its clones share it.
#[derive(Debug, Clone, Default)]
pub struct Recorder(Arc<Mutex<Vec<Event>>>);

/// A consumer that fails.
#[derive(Debug, Clone)]
pub struct Failing {
    message: String,
    lets_pass: Arc<Mutex<usize>>,
}

/// A consumer that takes its time.
#[derive(Debug, Clone)]
pub struct Slow(Duration);

impl Recorder {
    /// One that has nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes what it was handed so far.
    pub fn take(&self) -> Vec<Event> {
        std::mem::take(&mut *lock(&self.0))
    }
}

impl Failing {
    /// Fails on every event, with this message.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), lets_pass: Arc::default() }
    }

    /// Lets so many events pass first.
    #[must_use]
    pub fn after(self, events: usize) -> Self {
        *lock(&self.lets_pass) = events;
        self
    }
}

impl Slow {
    /// Takes so long for each event.
    pub fn new(time: Duration) -> Self {
        Self(time)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Does the same wherever it is.
macro_rules! consumers {
    ($connection:ty) => {
        impl Consumer<$connection> for Recorder {
            fn handle<'a>(&'a self, _: &'a $connection, event: &'a Event) -> ConsumerFuture<'a> {
                lock(&self.0).push(event.clone());
                Box::pin(std::future::ready(Ok(())))
            }
        }

        impl Consumer<$connection> for Failing {
            fn handle<'a>(&'a self, _: &'a $connection, _: &'a Event) -> ConsumerFuture<'a> {
                let mut lets_pass = lock(&self.lets_pass);
                let result = match lets_pass.checked_sub(1) {
                    Some(left) => {
                        *lets_pass = left;
                        Ok(())
                    }
                    None => Err(self.message.clone().into()),
                };
                Box::pin(std::future::ready(result))
            }
        }

        impl Consumer<$connection> for Slow {
            fn handle<'a>(&'a self, _: &'a $connection, _: &'a Event) -> ConsumerFuture<'a> {
                Box::pin(async {
                    tokio::time::sleep(self.0).await;
                    Ok(())
                })
            }
        }
    };
}

consumers!(EventTransaction);
consumers!(EventConnection);
