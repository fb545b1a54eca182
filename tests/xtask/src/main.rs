//! `cargo xtask test`: everything that must hold, on every database that can be had.

mod servers;

use std::{
    env,
    process::{Command, ExitCode, Stdio},
    time::Instant,
};

const HELP: &str = "cargo xtask test         format, lints, docs, tests on every database, examples
cargo xtask soak [NAME]  long runs, figures printed
cargo xtask bench [NAME] measurements

POSTGRES_URL and MYSQL_URL name servers to use; without them local ones are used, else private ones are started from
installed binaries (XTASK_SERVERS=private starts them in any case), else installed with apt-get where that is allowed.
Every test makes a database of its own and drops it; no other database is touched.";

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let names: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let passed = match names.as_slice() {
        ["test"] => test(),
        ["soak", rest @ ..] => long_run("soak", rest),
        ["bench", rest @ ..] => long_run("bench", rest),
        _ => {
            println!("{HELP}");
            names.is_empty()
        }
    };
    if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned()));
    command.args(arguments).stdin(Stdio::null());
    command
}

/// Runs one step and says how long it took.
fn step(name: &str, mut command: Command, failed: &mut Vec<String>) {
    println!("\n== {name}");
    let start = Instant::now();
    let passed = command.status().is_ok_and(|status| status.success());
    println!("== {name}: {} in {:.0} s", if passed { "ok" } else { "FAILED" }, start.elapsed().as_secs_f64());
    if !passed {
        failed.push(name.to_owned());
    }
}

fn test() -> bool {
    let start = Instant::now();
    let mut failed = Vec::new();
    step("format", cargo(&["fmt", "--all", "--check"]), &mut failed);
    step("lints", cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]), &mut failed);
    let mut docs = cargo(&["doc", "--workspace", "--no-deps", "--quiet"]);
    docs.env("RUSTDOCFLAGS", "-D warnings");
    step("docs", docs, &mut failed);
    step(
        "no default features",
        cargo(&["build", "-p", "events-sea-orm", "--no-default-features"]),
        &mut failed,
    );

    let servers = servers::find(&|url| probe(url));
    let mut tests = cargo(&["test", "--workspace", "--no-fail-fast"]);
    for (name, server) in [("PostgreSQL", &servers.postgres), ("MariaDB/MySQL", &servers.mysql)] {
        match &server.url {
            Some(url) => {
                println!("{name}: {}", server.origin);
                tests.env(server.variable, url);
            }
            None => println!("!! {name}: LEFT OUT: {}", server.origin),
        }
    }
    step("tests", tests, &mut failed);
    step("quickstart", cargo(&["run", "--quiet", "-p", "quickstart"]), &mut failed);

    println!("\n{:.0} s in all", start.elapsed().as_secs_f64());
    println!("SQLite: ran");
    for (name, server) in [("PostgreSQL", &servers.postgres), ("MariaDB/MySQL", &servers.mysql)] {
        match &server.url {
            Some(_) => println!("{name}: ran ({})", server.origin),
            None => {
                println!("{name}: LEFT OUT ({})", server.origin);
                if env::var_os("CI").is_some() {
                    failed.push(format!("{name} was left out"));
                }
            }
        }
    }
    for name in &failed {
        println!("FAILED: {name}");
    }
    failed.is_empty()
}

/// Whether a server lets us in and may make databases.
fn probe(url: &str) -> bool {
    cargo(&["run", "--quiet", "-p", "tests", "--bin", "probe", "--", url])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

fn long_run(bin: &str, names: &[&str]) -> bool {
    let servers = servers::find(&|url| probe(url));
    let mut command = cargo(&["run", "--release", "-p", "tests", "--bin", bin, "--"]);
    command.args(names);
    for server in [&servers.postgres, &servers.mysql] {
        match &server.url {
            Some(url) => drop(command.env(server.variable, url)),
            None => println!("!! {} left out: {}", server.variable, server.origin),
        }
    }
    command.status().is_ok_and(|status| status.success())
}
