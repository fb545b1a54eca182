//! Finds the database servers for the tests, or starts private ones.

use std::{
    env, fs,
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread::sleep,
    time::Duration,
};

/// A server, or why there is none.
pub(crate) struct Server {
    pub(crate) variable: &'static str,
    pub(crate) url: Option<String>,
    pub(crate) origin: String,
    /// A private one, and the folder it lives in: both go with this value.
    private: Option<(Child, PathBuf)>,
}

pub(crate) struct Servers {
    pub(crate) postgres: Server,
    pub(crate) mysql: Server,
}

impl Servers {
    pub(crate) fn named(&self) -> [(&'static str, &Server); 2] {
        [("PostgreSQL", &self.postgres), ("MariaDB/MySQL", &self.mysql)]
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some((child, folder)) = &mut self.private {
            // SIGTERM, not SIGKILL: a PostgreSQL postmaster takes its children and shared memory with it.
            let _ = Command::new("kill").arg(child.id().to_string()).status();
            let _ = child.wait();
            let _ = fs::remove_dir_all(folder);
        }
    }
}

pub(crate) fn find(probe: &dyn Fn(&str) -> bool) -> Servers {
    Servers {
        postgres: find_one(
            "POSTGRES_URL",
            5432,
            &[
                "postgres://postgres@127.0.0.1:5432/postgres",
                "postgres://postgres:postgres@127.0.0.1:5432/postgres",
            ],
            &["postgresql"],
            start_postgres,
            probe,
        ),
        mysql: find_one(
            "MYSQL_URL",
            3306,
            &["mysql://root@127.0.0.1:3306/mysql", "mysql://root:root@127.0.0.1:3306/mysql"],
            &["mariadb-server"],
            start_mariadb,
            probe,
        ),
    }
}

/// Where a private server writes what it has to say, in its folder.
const LOG: &str = "log";

/// A folder of PostgreSQL's binaries.
const POSTGRES_BIN: &str = "XTASK_POSTGRES_BIN";

/// Why no private server runs.
enum NoServer {
    NotInstalled(String),
    /// It is there and does not start: to install it would change nothing.
    Failed(String),
}

impl std::fmt::Display for NoServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotInstalled(reason) | Self::Failed(reason) => f.write_str(reason),
        }
    }
}

impl From<String> for NoServer {
    fn from(reason: String) -> Self {
        Self::Failed(reason)
    }
}

/// A server's binary, or that it is not installed.
fn binary(name: &str, folders: &[PathBuf], product: &str) -> Result<PathBuf, NoServer> {
    find_binary(name, folders)
        .ok_or_else(|| NoServer::NotInstalled(format!("{product} is not installed: there is no `{name}`")))
}

type Start = fn() -> Result<(String, Child, PathBuf), NoServer>;

fn find_one(
    variable: &'static str,
    port: u16,
    local: &[&str],
    packages: &[&str],
    start: Start,
    probe: &dyn Fn(&str) -> bool,
) -> Server {
    let found = |url: String, origin: &str| Server {
        variable,
        url: Some(url),
        origin: origin.to_owned(),
        private: None,
    };
    let private_only = env::var("XTASK_SERVERS").is_ok_and(|value| value == "private")
        || (variable == "POSTGRES_URL" && env::var_os(POSTGRES_BIN).is_some());
    if let (Ok(url), false) = (env::var(variable), private_only) {
        return found(url, &format!("named by {variable}"));
    }
    if !private_only
        && TcpStream::connect(("127.0.0.1", port)).is_ok()
        && let Some(url) = local.iter().find(|url| probe(url))
    {
        return found((*url).to_owned(), "a server that listens locally");
    }
    let started = start().or_else(|error| match error {
        NoServer::NotInstalled(reason) => match install(packages) {
            Ok(()) => start().map_err(|error| error.to_string()),
            Err(cannot) => Err(format!("{reason}; {cannot}: install it, or name a server by {variable}")),
        },
        NoServer::Failed(reason) => Err(reason),
    });
    match started {
        Ok((url, mut child, folder)) => {
            for _ in 0..60 {
                if probe(&url) {
                    let origin = "a private server, started for this run".to_owned();
                    return Server { variable, url: Some(url), origin, private: Some((child, folder)) };
                }
                if child.try_wait().is_ok_and(|status| status.is_some()) {
                    break;
                }
                sleep(Duration::from_millis(500));
            }
            let log = fs::read_to_string(folder.join(LOG)).unwrap_or_default();
            let last: Vec<&str> = log.lines().rev().take(5).collect();
            let last: Vec<&str> = last.into_iter().rev().collect();
            let origin =
                format!("a private server was started and does not answer; it said:\n{}", last.join("\n"));
            Server { variable, url: None, origin, private: Some((child, folder)) }
        }
        Err(origin) => Server { variable, url: None, origin, private: None },
    }
}

fn install(packages: &[&str]) -> Result<(), String> {
    let apt = find_binary("apt-get", &[]).ok_or("no apt-get to install it with")?;
    let sudo = if is_root() { None } else { Some(["sudo", "-n"]) };
    let run = |arguments: &[&str]| {
        let mut command = match sudo {
            Some([sudo, flag]) => {
                let mut command = Command::new(sudo);
                command.arg(flag).arg(&apt);
                command
            }
            None => Command::new(&apt),
        };
        command
            .args(arguments)
            .env("DEBIAN_FRONTEND", "noninteractive")
            .status()
            .is_ok_and(|status| status.success())
    };
    let mut arguments = vec!["install", "-y", "--no-install-recommends"];
    arguments.extend(packages);
    if run(&["update"]) && run(&arguments) { Ok(()) } else { Err("apt-get could not install it".to_owned()) }
}

fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout.starts_with(b"0"))
}

fn find_binary(name: &str, folders: &[PathBuf]) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let system = ["/usr/sbin", "/usr/local/sbin", "/usr/local/bin", "/usr/bin"].map(PathBuf::from);
    let all = folders.iter().cloned().chain(env::split_paths(&path)).chain(system);
    all.map(|folder| folder.join(name)).find(|file| file.is_file())
}

fn free_port() -> Result<u16, String> {
    let listener = TcpListener::bind("127.0.0.1:0").map_err(|error| error.to_string())?;
    Ok(listener.local_addr().map_err(|error| error.to_string())?.port())
}

/// A new folder outside the checkout: an unprivileged account must be able to reach it.
fn new_folder(name: &str) -> Result<PathBuf, String> {
    let folder = env::temp_dir().join(format!("events-xtask-{name}-{}", std::process::id()));
    fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
    Ok(folder)
}

/// The servers refuse to run as root.
fn unprivileged(account: &str, program: &Path) -> Command {
    if is_root() {
        let mut command = Command::new("setpriv");
        command.args(["--reuid", account, "--regid", account, "--clear-groups"]).arg(program);
        command
    } else {
        Command::new(program)
    }
}

fn hand_over(folder: &Path, account: &str) -> Result<(), String> {
    if is_root() {
        run(Command::new("chown").args(["-R", account]).arg(folder))?;
    }
    Ok(())
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command.stdin(Stdio::null()).output().map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        Ok(())
    } else {
        Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr)))
    }
}

fn spawn(command: &mut Command, folder: &Path) -> Result<Child, String> {
    let log = fs::File::create(folder.join(LOG)).map_err(|error| error.to_string())?;
    let both = log.try_clone().map_err(|error| error.to_string())?;
    command.stdin(Stdio::null()).stdout(log).stderr(both);
    command.spawn().map_err(|error| format!("{command:?}: {error}"))
}

fn start_postgres() -> Result<(String, Child, PathBuf), NoServer> {
    let mut folders: Vec<PathBuf> = fs::read_dir("/usr/lib/postgresql")
        .map(|entries| entries.flatten().map(|entry| entry.path().join("bin")).collect())
        .unwrap_or_default();
    folders.sort();
    folders.reverse();
    let (initdb, server) = match env::var_os(POSTGRES_BIN).map(PathBuf::from) {
        // This version or none.
        Some(folder) => {
            let [initdb, server] = ["initdb", "postgres"].map(|name| folder.join(name));
            if !(initdb.is_file() && server.is_file()) {
                let reason =
                    format!("{POSTGRES_BIN}: there is no `initdb` and `postgres` in {}", folder.display());
                return Err(NoServer::Failed(reason));
            }
            (initdb, server)
        }
        None => (binary("initdb", &folders, "PostgreSQL")?, binary("postgres", &folders, "PostgreSQL")?),
    };
    let (folder, port) = (new_folder("postgres")?, free_port()?);
    hand_over(&folder, "postgres")?;
    let data = folder.join("data");
    // In an environment without a locale it would be SQL_ASCII, of which the library warns.
    let cluster = ["-U", "postgres", "-A", "trust", "--encoding=UTF8", "--locale=C", "-D"];
    run(unprivileged("postgres", &initdb).args(cluster).arg(&data))?;
    let child = spawn(
        unprivileged("postgres", &server)
            .arg("-D")
            .arg(&data)
            .args(["-p", &port.to_string(), "-h", "127.0.0.1", "-c", "max_connections=300", "-k"])
            .arg(&folder),
        &folder,
    )?;
    Ok((format!("postgres://postgres@127.0.0.1:{port}/postgres"), child, folder))
}

/// Without the machine's configuration: a server as it comes, with `latin1` and anonymous users, is a case of its own.
fn start_mariadb() -> Result<(String, Child, PathBuf), NoServer> {
    let install = binary("mariadb-install-db", &[], "MariaDB")?;
    let server = binary("mariadbd", &[], "MariaDB")?;
    let (folder, port) = (new_folder("mariadb")?, free_port()?);
    hand_over(&folder, "mysql")?;
    let data = format!("--datadir={}", folder.join("data").display());
    run(unprivileged("mysql", &install).args([
        "--no-defaults",
        "--auth-root-authentication-method=normal",
        &data,
    ]))?;
    let arguments = [
        "--no-defaults",
        &data,
        &format!("--port={port}"),
        "--bind-address=127.0.0.1",
        "--max-connections=300",
        &format!("--socket={}", folder.join("socket").display()),
    ];
    let child = spawn(unprivileged("mysql", &server).args(arguments), &folder)?;
    Ok((format!("mysql://root@127.0.0.1:{port}/mysql"), child, folder))
}
