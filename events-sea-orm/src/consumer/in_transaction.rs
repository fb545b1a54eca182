//! Consumers inside the unit of work.

use std::sync::Arc;

use events_core::Event;
use sea_orm::{DbErr, TransactionTrait};

use super::{Consumer, ConsumerFailure, OnError, Subscription, run::Call, subscription::Handler};
use crate::{error::Refused, observe, transaction::EventTransaction};

impl EventTransaction {
    /// Runs every consumer, one after the other, on those events of a round that it wants. Answers the last one that
    /// added events.
    pub(crate) async fn consume(&self, round: &[Event]) -> Result<Option<Arc<str>>, DbErr> {
        let mut adder = None;
        for subscription in self.events().in_transaction() {
            let Handler::InTransaction(consumer) = &subscription.handler else { continue };
            let wanted: Vec<&Event> =
                round.iter().filter(|event| subscription.filter.matches(event)).collect();
            if wanted.is_empty() {
                continue;
            }
            let before = self.buffered();
            self.deliver(subscription, consumer.as_ref(), &wanted).await?;
            if self.buffered() > before {
                adder = Some(Arc::clone(&subscription.name));
            }
        }
        Ok(adder)
    }

    async fn deliver(
        &self,
        subscription: &Subscription,
        consumer: &dyn Consumer,
        events: Call<'_>,
    ) -> Result<(), DbErr> {
        let span = observe::consumer_span(subscription, self.unit_id(), events.len());
        let work = async {
            match subscription.on_error {
                OnError::Abort => self.deliver_or_abort(subscription, consumer, events).await,
                OnError::Log => self.deliver_or_log(subscription, consumer, events).await,
            }
        };
        tracing::Instrument::instrument(work, span).await
    }

    async fn deliver_or_abort(
        &self,
        subscription: &Subscription,
        consumer: &dyn Consumer,
        events: Call<'_>,
    ) -> Result<(), DbErr> {
        let doubt = self.doubt_consumer();
        match subscription.call_with_all(consumer, self, events).await {
            Some(result) => self.finish_call(subscription, result, events)?,
            None => {
                for event in events {
                    let result = subscription.call(consumer, self, event).await;
                    self.finish_call(subscription, result, &[event])?;
                }
            }
        }
        doubt.settle();
        self.settle_consumer().await
    }

    fn finish_call(
        &self,
        subscription: &Subscription,
        result: Result<(), ConsumerFailure>,
        events: Call<'_>,
    ) -> Result<(), Refused> {
        subscription.count_call(result.as_ref(), events.len());
        result.map_err(|failure| {
            let refused = refused(subscription, failure, events);
            self.poison(&refused.to_string());
            refused
        })
    }

    /// Each call in a savepoint of its own, so that what one event did wrong is undone alone.
    async fn deliver_or_log(
        &self,
        subscription: &Subscription,
        consumer: &dyn Consumer,
        events: Call<'_>,
    ) -> Result<(), DbErr> {
        let savepoint = self.begin().await?;
        if let Some(result) = subscription.call_with_all(consumer, &savepoint, events).await {
            return end(subscription, savepoint, result, events).await;
        }
        let mut savepoint = Some(savepoint);
        for (i, event) in events.iter().enumerate() {
            let txn = match savepoint.take() {
                Some(savepoint) => savepoint,
                None => self.begin().await?,
            };
            let result = subscription.call(consumer, &txn, event).await;
            end(subscription, txn, result, &events[i..=i]).await?;
        }
        Ok(())
    }
}

/// Ends the savepoint of a consumer whose failures are logged.
async fn end(
    subscription: &Subscription,
    savepoint: EventTransaction,
    result: Result<(), ConsumerFailure>,
    events: Call<'_>,
) -> Result<(), DbErr> {
    let result = match result {
        // It may have swallowed an error of the database's.
        Ok(()) => savepoint.settle_consumer().await.map_err(|error| ConsumerFailure::Error(Arc::new(error))),
        failed => failed,
    };
    subscription.count_call(result.as_ref(), events.len());
    let Err(failure) = result else {
        // Boxed: committing runs consumers, as far as the compiler knows.
        return Ok(Box::pin(savepoint.commit()).await?);
    };
    let error = refused(subscription, failure, events);
    tracing::warn!(consumer = &*subscription.name, %error, "a consumer failed; its savepoint is rolled back");
    savepoint.rollback().await
}

fn refused(subscription: &Subscription, failure: ConsumerFailure, events: Call<'_>) -> Refused {
    Refused::Consumer {
        consumer: Arc::clone(&subscription.name),
        event_type: events.first().map(|event| event.event_type.to_string()).unwrap_or_default(),
        failure,
    }
}
