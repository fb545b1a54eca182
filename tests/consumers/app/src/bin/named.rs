//! Names the library, and uses nothing of it.

use consumers_library as _;

#[tokio::main]
async fn main() {
    consumers_app::run().await;
}
