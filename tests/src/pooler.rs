//! A pooler between a test and its PostgreSQL server: PgBouncer, where it is installed.

use std::{
    io::Write,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

/// Ends with the test.
pub struct PgBouncer {
    child: Child,
    port: u16,
    _folder: tempfile::TempDir,
}

impl PgBouncer {
    /// Whether it is there; a test that skips says so.
    pub fn is_installed() -> bool {
        let found = program().is_some();
        if !found {
            eprintln!("!! SKIPPED: PgBouncer is not installed");
        }
        found
    }

    /// One that hands out connections by the `session`, `transaction` or `statement`, to these roles and passwords.
    pub async fn start(url: &str, mode: &str, logins: &[(&str, &str)]) -> Self {
        let server = url.split("://").nth(1).and_then(|rest| rest.split('/').next()).expect("a server");
        let server = server.rsplit('@').next().expect("a host");
        let (host, server_port) = server.split_once(':').unwrap_or((server, "5432"));
        let port = free_port();
        let folder = tempfile::tempdir().expect("a temporary folder");
        let users = folder.path().join("users.txt");
        let config = folder.path().join("pgbouncer.ini");
        let mut list = String::new();
        for (role, password) in logins {
            list.push_str(&format!("\"{role}\" \"{password}\"\n"));
        }
        write(&users, &list);
        write(
            &config,
            &format!(
                "[databases]\n* = host={host} port={server_port}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n\
                 auth_type = plain\nauth_file = {}\npool_mode = {mode}\nunix_socket_dir =\nuser = nobody\ndefault_pool_size = 4\n\
                 ignore_startup_parameters = extra_float_digits\n",
                users.display()
            ),
        );
        let readable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(folder.path(), readable).expect("a folder of its own");
        let child = Command::new(program().expect("installed"))
            .arg(&config)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("PgBouncer starts");
        while tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Self { child, port, _folder: folder }
    }

    /// The URL of a database, through it.
    pub fn url(&self, url: &str) -> String {
        let (scheme, rest) = url.split_once("://").expect("a scheme");
        let (server, database) = rest.rsplit_once('/').expect("a database");
        let login = server.rsplit_once('@').map_or("", |(login, _)| login);
        format!("{scheme}://{login}@127.0.0.1:{}/{database}", self.port)
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn program() -> Option<&'static str> {
    ["/usr/sbin/pgbouncer", "/usr/bin/pgbouncer", "/usr/local/bin/pgbouncer"]
        .into_iter()
        .find(|path| Path::new(path).exists())
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("an address").port()
}

fn write(path: &Path, text: &str) {
    let mut file = std::fs::File::create(path).expect("a file");
    file.write_all(text.as_bytes()).expect("written");
}
