//! What is made of events and who reads them. `saves/main.rs` says what the binaries are.

mod analytics;
mod consumers;
mod feed;
mod notifications;
mod nul;
mod sakila_thread;
mod testing;
mod threads;
mod web;
