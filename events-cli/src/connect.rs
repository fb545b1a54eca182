//! From a URL to a pool.

use std::time::Duration;

use clap::Args;
use sea_orm::{ConnectOptions, Database, DatabaseConnection};
use tokio::{net::TcpStream, time::timeout};
use url::Url;

use crate::failure::{Failure, one_line};

/// How long a server may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Which database.
#[derive(Debug, Args)]
pub(crate) struct Connect {
    /// postgres://.., mysql://.. or sqlite://..; also from a file `.env` here or above
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, global = true, value_name = "URL")]
    database_url: Option<String>,
    /// PostgreSQL: the schema that the tables are in, unless the search path leads there
    #[arg(long, env = "DATABASE_SCHEMA", global = true, value_name = "SCHEMA")]
    database_schema: Option<String>,
}

impl Connect {
    /// A pool on the database.
    pub(crate) async fn open(&self) -> Result<DatabaseConnection, Failure> {
        let Some(url) = self.database_url.as_deref().filter(|url| !url.is_empty()) else {
            return Err(Failure::usage("no database: set DATABASE_URL, or give --database-url"));
        };
        let server = Server::of(url)?;
        let failed = |error: &str| Failure::failed(server.failed(error));
        // A pool tries a server that refuses it again and again, and then says only that it took too long.
        if let Some(address) = &server.address {
            let reached = timeout(PATIENCE, TcpStream::connect(address.as_str())).await;
            match reached {
                Ok(Ok(_)) => {}
                Ok(Err(error)) => return Err(failed(&error.to_string())),
                Err(_) => return Err(failed(&format!("no answer in {} seconds", PATIENCE.as_secs()))),
            }
        }
        let mut options = ConnectOptions::new(url);
        options.max_connections(2).connect_timeout(PATIENCE).acquire_timeout(PATIENCE).sqlx_logging(false);
        if let Some(schema) = &self.database_schema {
            options.set_schema_search_path(schema);
        }
        Database::connect(options).await.map_err(|error| failed(&error.to_string()))
    }
}

/// What a URL says, and what of it may be shown.
struct Server {
    /// None where a part of the password may stand anywhere in it.
    shown: Option<String>,
    /// Where it listens. None of a file or socket.
    address: Option<String>,
    hint: &'static str,
}

impl Server {
    fn of(url: &str) -> Result<Self, Failure> {
        let (scheme, rest) = url.split_once(':').unwrap_or_default();
        let port = match scheme {
            "postgres" | "postgresql" => 5432,
            "mysql" | "mariadb" => 3306,
            "sqlite" => {
                let file = rest.split('?').next().unwrap_or_default();
                let hint = ": the file must be there, unless the URL ends in `?mode=rwc`";
                return Ok(Self { shown: Some(format!("sqlite:{file}")), address: None, hint });
            }
            // The URL is not repeated: it may hold a password.
            _ => {
                return Err(Failure::usage(
                    "the database URL must begin with postgres://, mysql:// or sqlite://",
                ));
            }
        };
        let Ok(mut url) = Url::parse(url) else {
            return Err(Failure::usage(format!(
                "the database URL is not sound: expected {scheme}://user:password@host:{port}/database; \
                 write characters such as `@` and `/` of a password as %40 and %2F"
            )));
        };
        let on_socket = url.query_pairs().any(|(key, _)| matches!(&*key, "host" | "socket"));
        let host = url.host_str().filter(|host| !host.is_empty() && !on_socket);
        let address = host.map(|host| format!("{host}:{}", url.port().unwrap_or(port)));
        let hint = ": check the server, the name of the database and the user";
        Ok(Self { shown: shown(&mut url), address, hint })
    }

    /// What is said of a server that cannot be had.
    fn failed(&self, error: &str) -> String {
        match &self.shown {
            Some(shown) => format!("cannot connect to {shown}: {}{}", one_line(error), self.hint),
            // Nor what was answered: it may name what was asked for.
            None => "cannot connect, and the URL of the database looks as if a password in it were not written in full: write \
                     characters such as `@`, `/`, `?` and `#` of it as %40, %2F, %3F and %23"
                .to_owned(),
        }
    }
}

/// As much of a URL as holds no part of a password. A password with a `/`, `?` or `#` in it ends the address early, and what
/// is left of it stands where a path, a query or a port would.
fn shown(url: &mut Url) -> Option<String> {
    let rest = [Some(url.path()), url.query(), url.fragment()];
    if url.fragment().is_some() || rest.into_iter().flatten().any(|part| part.contains('@')) {
        return None;
    }
    if url.username().is_empty() && url.password().is_none() {
        // Without a user it may be that the host was left out, and the password is where its port would be.
        let host = url.host_str().unwrap_or_default();
        return Some(format!("{}://{host}", url.scheme()));
    }
    // A URL that cannot have a password has none to take out.
    let _ = url.set_password(None);
    url.set_query(None);
    Some(url.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(url: &str, shown: &str, address: Option<&str>) {
        let Ok(server) = Server::of(url) else { panic!("{url} is sound") };
        assert_eq!((server.shown.as_deref(), server.address.as_deref()), (Some(shown), address));
    }

    #[test]
    fn passwords_are_not_shown() {
        check(
            "postgres://ada:s3cr3t@db.local/shop?password=x",
            "postgres://ada@db.local/shop",
            Some("db.local:5432"),
        );
        check("mysql://root:a%40b@[::1]:3307/shop", "mysql://root@[::1]:3307/shop", Some("[::1]:3307"));
        check("mysql://root:a@b@db.local/shop", "mysql://root@db.local/shop", Some("db.local:3306"));
        check("postgres:///shop?host=/run/postgresql", "postgres://", None);
        check("postgres://localhost:5433/shop", "postgres://localhost", Some("localhost:5433"));
        check("sqlite://shop.db?mode=rwc", "sqlite://shop.db", None);
        check("sqlite::memory:", "sqlite::memory:", None);
        for url in ["", "shop.db", "oracle://ada:s3cr3t@db/shop", "postgres://ada:s3/cr3t@:x/"] {
            let Err(Failure::Usage(text)) = Server::of(url) else { panic!("{url} is not sound") };
            assert!(!text.contains("cr3t"), "{text}");
        }
    }

    #[test]
    fn a_password_that_is_not_written_in_full_is_not_shown() {
        for url in [
            "postgres://ada:12/34s3cr3t@host/db",
            "postgres://ada:9#s3cr3t@host/db",
            "postgres://ada:9?s3cr3t@host/db",
            "mysql://root:/s3cr3t@h/db",
            "mysql://root:a@s3cr3t/b@h/db",
            "postgres://ada:pass@s3cr3t?b@h/db",
            "postgres://ada:s3cr3t",
            "postgres://ada:/s3cr3t",
            "postgres://ada/s3cr3t",
            "mysql://ada@host#s3cr3t",
            "postgres://ada:%s3cr3t@host:x/db",
        ] {
            let text = match Server::of(url) {
                Ok(server) => server.failed("connection refused"),
                Err(Failure::Usage(text) | Failure::Failed(text)) => text,
                Err(Failure::BrokenPipe) => String::new(),
            };
            assert!(!text.contains("cr3t"), "{url}: {text}");
        }
        let Ok(server) = Server::of("mysql://root:/s3cr3t@h/db") else { panic!("it can be read") };
        let text = server.failed("unknown database 's3cr3t@h/db'");
        assert!(text.contains("%2F") && !text.contains("s3cr3t"), "{text}");
    }
}
