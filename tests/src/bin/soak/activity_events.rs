//! A million rows of an earlier table made into events, by processes that are killed in the middle.

use std::{
    io::{BufRead, BufReader},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use events_sea_orm::migration::activity_events::{self, ActivityEvents, Phase};
use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, Statement};
use tests::TestDb;

use super::peak_megabytes;

const ROWS: i64 = 1_000_000;
/// After so many batches of its own a process is killed.
const KILLS: [u64; 6] = [1, 17, 30, 2, 41, 25];
const LIMIT: u64 = 200;

/// What a child reported last.
struct Ended {
    killed: bool,
    rows: u64,
    peak: u64,
}

pub async fn run(name: &str, db: TestDb) {
    events_sea_orm::migration::up(&db.db).await.expect("events table");
    for sql in old_table(db.db.get_database_backend()) {
        db.db.execute_unprepared(&sql).await.expect("the old table");
    }
    let (start, mut peak, mut batches) = (Instant::now(), 0, 0);
    for (n, after) in KILLS.into_iter().enumerate() {
        // At the end of a batch, and further and further into the next one.
        let ended = child("migrate", &db.url, Some((after, Duration::from_millis(9 * n as u64))));
        assert!(ended.killed, "{name}: the copy ended before it was killed");
        peak = peak.max(ended.peak);
        batches += after;
        let there = number(&db.db, "SELECT count(*) FROM events").await;
        assert!(
            there >= 5_000 * batches as i64 && there < ROWS && there % 5_000 == 0,
            "{name}: {there} after a kill"
        );
        batches = (there / 5_000) as u64;
    }
    let last = Instant::now();
    let ended = child("migrate", &db.url, None);
    assert!(!ended.killed && ended.rows > 0);
    let (all, last) = (start.elapsed().as_secs_f64(), last.elapsed().as_secs_f64());
    peak = peak.max(ended.peak);
    println!(
        "{name:<10} {ROWS} rows copied, killed {} times: {all:.0} s, of which {last:.0} s after the last; peak memory {peak} MB",
        KILLS.len()
    );
    compare(name, &db.db).await;
    let again = Instant::now();
    assert_eq!(child("migrate", &db.url, None).rows, 0, "{name}: nothing was left");
    println!("{name:<10} another run finds nothing to do in {:.1} s", again.elapsed().as_secs_f64());
    let check = Instant::now();
    let ended = child("check", &db.url, None);
    println!(
        "{name:<10} counts and checksums compared in {:.0} s, peak memory {} MB",
        check.elapsed().as_secs_f64(),
        ended.peak
    );
    assert!(peak.max(ended.peak) < LIMIT, "more than {LIMIT} MB");
    activity_events::finish(&db.db, &ActivityEvents::default()).await.expect("finished");
    assert_eq!(number(&db.db, "SELECT count(*) FROM activity_events_old").await, ROWS);
    db.drop().await;
}

/// Without a kill, in one process: the time that a copy takes.
pub async fn run_at_once(name: &str, db: TestDb) {
    events_sea_orm::migration::up(&db.db).await.expect("events table");
    for sql in old_table(db.db.get_database_backend()) {
        db.db.execute_unprepared(&sql).await.expect("the old table");
    }
    let start = Instant::now();
    let ended = child("migrate", &db.url, None);
    let seconds = start.elapsed().as_secs_f64();
    assert_eq!(ended.rows, ROWS as u64);
    println!(
        "{name:<10} {ROWS} rows copied at once: {seconds:.0} s, {:.0} rows a second, peak memory {} MB",
        ROWS as f64 / seconds,
        ended.peak
    );
    db.drop().await;
}

/// Runs a child; it is killed so long after it has copied so many batches.
fn child(step: &str, url: &str, kill: Option<(u64, Duration)>) -> Ended {
    let mut child = Command::new(std::env::current_exe().expect("itself"))
        .args(["activity-events", step, url])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("a child");
    let mut ended = Ended { killed: false, rows: 0, peak: 0 };
    let mut batches = 0;
    for line in BufReader::new(child.stdout.take().expect("a pipe")).lines() {
        let line = line.expect("a line");
        let mut words = line.split(' ');
        let phase = words.next().expect("a phase").to_owned();
        let mut number = || words.next().and_then(|word| word.parse().ok()).expect("a number");
        let rows = number();
        ended.peak = number();
        if phase == "Copying" {
            ended.rows = rows;
            batches += 1;
        }
        if let Some((_, wait)) = kill.filter(|(after, _)| *after == batches)
            && !ended.killed
        {
            std::thread::sleep(wait);
            child.kill().expect("killed");
            ended.killed = true;
        }
    }
    let status = child.wait().expect("ended");
    assert!(status.success() || ended.killed, "{step} failed");
    ended
}

/// The child: says how far it is, and how much memory it ever held.
pub async fn step(step: &str, url: &str) {
    let db = TestDb::open_with(url, 1).await;
    let old = ActivityEvents::default();
    let peak = || peak_megabytes().unwrap_or_default();
    if step == "check" {
        let checked = activity_events::check(&db, &old).await.unwrap_or_else(|error| panic!("{error}"));
        assert_eq!((checked.rows, checked.skipped), (ROWS as u64, 0));
        println!("Checked {} {}", checked.rows, peak());
        return;
    }
    let report = |progress: activity_events::Progress| {
        assert_ne!(progress.phase, Phase::CatchingUp, "every row is found in its order");
        println!("{:?} {} {}", progress.phase, progress.rows, peak());
    };
    activity_events::migrate(&db, &old, report).await.unwrap_or_else(|error| panic!("{error}"));
}

/// The reference's shape: random UUIDs, old and new values, 50 teams, a second for each hundred rows.
fn old_table(backend: DbBackend) -> [String; 2] {
    match backend {
        DbBackend::Postgres => [
            "CREATE TABLE activity_events (id uuid PRIMARY KEY, team_id uuid NOT NULL, event_type varchar(40) NOT NULL, object_type varchar(40), \
             object_id uuid, actor_id uuid, old_values jsonb, new_values jsonb, created_at timestamptz NOT NULL)"
                .to_owned(),
            format!(
                "INSERT INTO activity_events SELECT gen_random_uuid(), md5((n % 50)::text)::uuid, 'UPDATED', 'campaign', md5((n / 10)::text)::uuid, \
                 md5((n % 7)::text)::uuid, jsonb_build_object('budget', n, 'name', 'campaign ' || n, 'status', 'draft'), \
                 jsonb_build_object('budget', 2 * n, 'name', 'campaign ' || n, 'status', 'live'), \
                 '2025-01-01Z'::timestamptz + (n / 100) * interval '1 second' FROM generate_series(1, {ROWS}) n"
            ),
        ],
        DbBackend::MySql => [
            "CREATE TABLE activity_events (id char(36) PRIMARY KEY, team_id char(36) NOT NULL, event_type varchar(40) NOT NULL, object_type varchar(40), \
             object_id char(36), actor_id char(36), old_values json, new_values json, created_at datetime(6) NOT NULL)"
                .to_owned(),
            format!(
                "INSERT INTO activity_events SELECT md5(concat('k', seq)), md5(seq % 50), 'UPDATED', 'campaign', md5(seq DIV 10), md5(seq % 7), \
                 json_object('budget', seq, 'name', concat('campaign ', seq), 'status', 'draft'), \
                 json_object('budget', 2 * seq, 'name', concat('campaign ', seq), 'status', 'live'), \
                 '2025-01-01' + INTERVAL (seq DIV 100) SECOND FROM seq_1_to_{ROWS}"
            ),
        ],
        _ => [
            "CREATE TABLE activity_events (id text PRIMARY KEY NOT NULL, team_id text NOT NULL, event_type text NOT NULL, object_type text, \
             object_id text, actor_id text, old_values text, new_values text, created_at text NOT NULL)"
                .to_owned(),
            format!(
                "INSERT INTO activity_events WITH RECURSIVE s (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < {ROWS}) \
                 SELECT lower(hex(randomblob(16))), 'team ' || (n % 50), 'UPDATED', 'campaign', 'c' || (n / 10), 'user ' || (n % 7), \
                 json_object('budget', n, 'name', 'campaign ' || n, 'status', 'draft'), \
                 json_object('budget', 2 * n, 'name', 'campaign ' || n, 'status', 'live'), \
                 datetime('2025-01-01', '+' || (n / 100) || ' seconds') FROM s"
            ),
        ],
    }
}

/// Counts and sums, by the database itself.
async fn compare(name: &str, db: &DatabaseConnection) {
    let backend = db.get_database_backend();
    let value = |column: &str, path: &str| match backend {
        DbBackend::Postgres => format!("({column} #>> '{{{}}}')::bigint", path.replace('.', ",")),
        DbBackend::MySql => format!("CAST(JSON_VALUE({column}, '$.{path}') AS SIGNED)"),
        _ => format!("({column} ->> '$.{path}')"),
    };
    let integer = if backend == DbBackend::MySql { "SIGNED" } else { "bigint" };
    let sums = |table: &str, old: String, new: String, team: &str| {
        format!(
            "SELECT CAST(count(*) AS {integer}), CAST(count(DISTINCT id) AS {integer}), CAST(count(DISTINCT {team}) AS {integer}), \
             CAST(sum({old}) AS {integer}), CAST(sum({new}) AS {integer}) FROM {table}"
        )
    };
    let rows =
        sums("activity_events", value("old_values", "budget"), value("new_values", "budget"), "team_id");
    let change = |side: &str| value("event_data", &format!("changes.budget.{side}"));
    let events = sums("events", change("old"), change("new"), "team_id");
    let mut found = Vec::new();
    for sql in [rows, events] {
        let row =
            db.query_one_raw(Statement::from_string(backend, sql)).await.expect("an answer").expect("a row");
        found.push([0, 1, 2, 3, 4].map(|place| row.try_get_by_index::<i64>(place).expect("a number")));
    }
    let sum = ROWS * (ROWS + 1) / 2;
    assert_eq!(found, [[ROWS, ROWS, 50, sum, 2 * sum]; 2], "{name}: rows, keys, teams, sums of old and new");
    let unordered = "SELECT count(*) FROM (SELECT occurred_at, lag(occurred_at) OVER (ORDER BY seq) AS previous FROM events) e \
                     WHERE e.occurred_at < e.previous";
    assert_eq!(number(db, unordered).await, 0, "{name}: seq rises with the time");
}

async fn number(db: &DatabaseConnection, sql: &str) -> i64 {
    let statement = Statement::from_string(db.get_database_backend(), sql);
    let row = db.query_one_raw(statement).await.expect("an answer").expect("a row");
    row.try_get_by_index(0).expect("a number")
}
