//! What goes wrong: one line that says what, where and what to do, and an exit code.

use super::*;

tests::conformance! {
    what_is_not_there_is_said,
    what_cannot_be_asked_for_is_refused,
}

async fn what_is_not_there_is_said(db: Arc<TestDb>) {
    for arguments in ["tail --team 7", "timeline campaign 1 --team 7", "export --all-teams"] {
        let said = run(&db, arguments).failed(1);
        assert!(
            said.contains("events") && said.ends_with("make the tables with `events migrate up`"),
            "{said}"
        );
    }
}

async fn what_cannot_be_asked_for_is_refused(db: Arc<TestDb>) {
    sample(&db).await;
    let long = "x".repeat(192);
    for team in ["", &long] {
        let said = run_at(&db.url, ["tail", "--team", team]).failed(1);
        assert!(said.contains("team"), "{said}");
    }
    if db.db.get_database_backend() != DbBackend::Postgres {
        for arguments in ["migrate up --app-role app", "migrate down --app-role app --yes"] {
            assert!(run(&db, arguments).failed(2).contains("only PostgreSQL"));
        }
    }
    for (arguments, expected) in [
        ("tail", "--team <TEAM>|--all-teams"),
        ("tail --team 7 --all-teams", "cannot be used with"),
        ("tail --team 7 --type Created", "cannot name a custom event"),
        ("tail --team 7 -n x", "invalid value"),
        ("tail --team 7 --late 5", "a number and a unit"),
        ("export --team 7 --from yesterday", "a day such as 2026-01-31"),
        ("export --team 7 --all-teams-role jobs", "cannot be used with"),
        ("timeline campaign --team 7", "<OBJECT_ID>"),
        ("purge --reason x", "--older-than <DURATION>|--before <TIME>"),
        ("purge --older-than 1d", "--reason <TEXT>"),
        ("migrate", "Usage: events migrate"),
        ("migrate up --delivery-role jobs", "--app-role"),
        ("migrate up --app-role app --team-table campaigns", "two names"),
        ("migrate roles", "--app-role"),
        ("nothing", "unrecognized subcommand"),
    ] {
        let ran = run(&db, arguments);
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(2), ""), "{arguments}");
        assert!(ran.stderr.contains(expected), "{arguments}: {}", ran.stderr);
    }
}

#[test]
fn a_database_must_be_named() {
    let said = Ran::from(events().args(["doctor"]).output().unwrap()).failed(2);
    assert_eq!(said, "events: no database: set DATABASE_URL, or give --database-url");
    let said = run_at("oracle://ada:s3cr3t@db/shop", ["doctor"]).failed(2);
    assert!(said.contains("must begin with postgres://") && !said.contains("s3cr3t"), "{said}");
}

#[test]
fn no_part_of_a_password_is_said() {
    for url in [
        "postgres://ada:12/34s3cr3t@host/db",
        "postgres://ada:9#s3cr3t@host/db",
        "mysql://root:/s3cr3t@h/db",
        "postgres://ada:1?s3cr3t@127.0.0.1/db",
    ] {
        let ran = run_at(url, ["doctor"]);
        assert!(!ran.stderr.contains("s3cr3t") && !ran.stderr.is_empty(), "{url}: {}", ran.stderr);
    }
}

#[test]
fn a_server_that_does_not_answer_is_said_at_once() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    for scheme in ["postgres", "mysql"] {
        let said = run_at(&format!("{scheme}://ada:s3cr3t@127.0.0.1:{free}/shop"), ["doctor"]).failed(1);
        assert!(said.contains(&format!("cannot connect to {scheme}://ada@127.0.0.1:{free}/shop")), "{said}");
        // What the server said, not that it said nothing for so long.
        assert!(said.to_lowercase().contains("refused") && !said.contains("s3cr3t"), "{said}");
    }
    let said = run_at("sqlite:///nowhere/at/all.db", ["doctor"]).failed(1);
    assert!(said.contains("/nowhere/at/all.db") && said.contains("mode=rwc"), "{said}");
}

#[test]
fn a_file_env_names_the_database() {
    in_folder(|folder| {
        std::fs::write(folder.join(".env"), "DATABASE_URL=sqlite://of_env.db?mode=rwc\n").unwrap();
        let ran = events().current_dir(folder).args(["migrate", "up"]).output().unwrap();
        assert_eq!(Ran::from(ran).fine(), "log: made (events)\n");
        assert!(folder.join("of_env.db").exists());
        // What is said on the command line counts more.
        let other = ["migrate", "up", "--database-url", "sqlite://said.db?mode=rwc"];
        Ran::from(events().current_dir(folder).args(other).output().unwrap()).fine();
        assert!(folder.join("said.db").exists());
    });
}

#[test]
fn help_has_examples() {
    let help = Ran::from(events().arg("--help").output().unwrap()).fine();
    assert!(
        help.contains("events timeline campaign 12 --team acme") && help.contains("Exit codes:"),
        "{help}"
    );
    for command in ["migrate", "doctor", "tail", "timeline", "export", "purge"] {
        let help = Ran::from(events().args([command, "--help"]).output().unwrap()).fine();
        assert!(help.contains("Usage: events"), "{help}");
    }
}
