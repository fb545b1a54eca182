//! Going on without losing events.
//!
//! Numbers are drawn before the commit, so `seq > last` loses whatever commits later than a higher number. What was read is
//! therefore remembered for a while, the window: in it events are counted at each look, and read again if there are more
//! than were seen.

use std::{
    collections::{BTreeSet, VecDeque},
    time::{Duration, Instant},
};

use chrono::TimeDelta;
use events_sea_orm::{EventConnection, event};

use super::Tail;
use crate::{failure::Failure, output::Lines};

/// So many events are read at once.
const PAGE: u64 = 1_000;

/// A database is not asked more often than this.
const LEAST_PAUSE: Duration = Duration::from_millis(50);

/// What was read of late.
struct Window {
    /// Nothing that is new is looked for at or below this number.
    floor: i64,
    /// Above the floor.
    seen: BTreeSet<i64>,
    /// The highest number at each look.
    looks: VecDeque<(Instant, i64)>,
}

/// Prints the last events, and what comes after. Ends with an error only: of the database, or because nobody reads any more.
pub(super) async fn follow(tail: &Tail, db: &EventConnection, lines: &mut Lines) -> Result<(), Failure> {
    // First: what comes while the last events are read is not taken for seen.
    let mut window = Window::open(tail, db).await?;
    let last = tail.last(db).await?;
    lines.print(&last)?;
    window.saw(&last);
    loop {
        tokio::time::sleep(tail.every.max(LEAST_PAUSE)).await;
        window.move_on(tail);
        let highest = window.highest();
        let known = u64::try_from(window.seen.len()).unwrap_or(u64::MAX);
        let there = tail.feed(db).after(window.floor).before(highest.saturating_add(1)).count().await?;
        if there != known {
            window.print_unseen(tail, db, lines, Some(highest)).await?;
        }
        window.print_unseen(tail, db, lines, None).await?;
        window.looks.push_back((Instant::now(), window.highest()));
    }
}

impl Window {
    /// As long before the newest event as one may be late: all that is there is taken for seen.
    async fn open(tail: &Tail, db: &EventConnection) -> Result<Self, Failure> {
        let mut window = Self { floor: i64::MIN, seen: BTreeSet::new(), looks: VecDeque::new() };
        let Some(newest) = tail.feed(db).one().await? else { return Ok(window) };
        // By the clock of the database, which may not be ours.
        let late = TimeDelta::from_std(tail.late).unwrap_or(TimeDelta::MAX);
        if let Some(since) = newest.recorded_at.checked_sub_signed(late) {
            let before = tail.feed(db).recorded_before(since).one().await?;
            window.floor = before.map_or(i64::MIN, |event| event.seq);
        }
        let mut after = window.floor;
        loop {
            let page =
                tail.feed(db).oldest_first().after(after).before(newest.seq + 1).limit(PAGE).all().await?;
            let Some(last) = page.last() else { break };
            after = last.seq;
            window.saw(&page);
        }
        window.looks.push_back((Instant::now(), window.highest()));
        Ok(window)
    }

    fn highest(&self) -> i64 {
        self.seen.last().copied().unwrap_or(self.floor)
    }

    fn saw(&mut self, events: &[event::Model]) {
        self.seen.extend(events.iter().map(|event| event.seq).filter(|seq| *seq > self.floor));
    }

    /// Forgets what nobody can be late for any more. The newest that was seen stays, or the highest would be lost.
    fn move_on(&mut self, tail: &Tail) {
        while self.looks.front().is_some_and(|(at, _)| at.elapsed() > tail.late) {
            if let Some((_, highest)) = self.looks.pop_front() {
                self.floor = self.floor.max(highest);
            }
        }
        self.seen = self.seen.split_off(&self.floor.saturating_add(1));
    }

    /// Prints what was not seen: up to the highest number, or above it.
    async fn print_unseen(
        &mut self,
        tail: &Tail,
        db: &EventConnection,
        lines: &mut Lines,
        up_to: Option<i64>,
    ) -> Result<(), Failure> {
        let mut after = if up_to.is_some() { self.floor } else { self.highest() };
        let before = up_to.map_or(i64::MAX, |highest| highest.saturating_add(1));
        loop {
            let page = tail.feed(db).oldest_first().after(after).before(before).limit(PAGE).all().await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = last.seq;
            let unseen: Vec<_> = page.into_iter().filter(|event| !self.seen.contains(&event.seq)).collect();
            lines.print(&unseen)?;
            self.saw(&unseen);
        }
    }
}
