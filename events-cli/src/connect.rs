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
        let failed = |error: &str| {
            let (shown, error) = (&server.shown, one_line(error));
            Failure::failed(format!("cannot connect to {shown}: {error}{}", server.hint))
        };
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
    shown: String,
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
                return Ok(Self { shown: format!("sqlite:{file}"), address: None, hint });
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
        // A URL that cannot have a password has none to take out.
        let _ = url.set_password(None);
        url.set_query(None);
        let hint = ": check the server, the name of the database and the user";
        Ok(Self { shown: url.to_string(), address, hint })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(url: &str, shown: &str, address: Option<&str>) {
        let Ok(server) = Server::of(url) else { panic!("{url} is sound") };
        assert_eq!((server.shown.as_str(), server.address.as_deref()), (shown, address));
    }

    #[test]
    fn passwords_are_not_shown() {
        check(
            "postgres://ada:s3cr3t@db.local/shop?password=x",
            "postgres://ada@db.local/shop",
            Some("db.local:5432"),
        );
        check("mysql://root:a%40b@[::1]:3307/shop", "mysql://root@[::1]:3307/shop", Some("[::1]:3307"));
        check("postgres:///shop?host=/run/postgresql", "postgres:///shop", None);
        check("sqlite://shop.db?mode=rwc", "sqlite://shop.db", None);
        check("sqlite::memory:", "sqlite::memory:", None);
        for url in ["", "shop.db", "oracle://ada:s3cr3t@db/shop", "postgres://ada:s3/cr3t@:x/"] {
            let Err(Failure::Usage(text)) = Server::of(url) else { panic!("{url} is not sound") };
            assert!(!text.contains("cr3t"), "{text}");
        }
    }
}
