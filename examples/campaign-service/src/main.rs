//! `campaign-service` serves on 127.0.0.1, port 3000 or `PORT`; `campaign-service demo` sends itself some requests.
//! `DATABASE_URL` names an SQLite database, such as `sqlite://campaigns.db?mode=rwc`; it is in memory otherwise.

use std::{env, error::Error};

use campaign_service::{app, demo};
use sea_orm::{ConnectOptions, Database};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = env::var("DATABASE_URL").unwrap_or_else(|_| "sqlite::memory:".to_owned());
    let mut options = ConnectOptions::new(url);
    options.sqlx_logging(false);
    let app = app(Database::connect(options).await?).await?;
    match env::args().nth(1).as_deref() {
        Some("demo") => {
            for exchange in demo::run(&app).await? {
                println!("{exchange}");
            }
        }
        Some(other) => return Err(format!("`{other}` is no command: expected `demo` or nothing").into()),
        None => {
            let port = env::var("PORT").map_or(Ok(3000), |port| port.parse())?;
            let listener = TcpListener::bind(("127.0.0.1", port)).await?;
            println!("listening on http://{}", listener.local_addr()?);
            axum::serve(listener, app).await?;
        }
    }
    Ok(())
}
