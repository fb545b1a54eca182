//! Depends on the library as `named` does, and does not name it.

#[tokio::main]
async fn main() {
    consumers_app::run().await;
}
