//! Whether a server lets us in and may make databases: for `cargo xtask`.

#[tokio::main]
async fn main() {
    let url = std::env::args().nth(1).expect("a URL");
    let db = tests::TestDb::server(&url).await;
    db.drop().await;
}
