//! A TCP proxy between a test and its database server: it fails on command and tells which statements went through.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use crate::wire::Recorder;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
};

/// What happens to the next COMMIT that a client sends; each fault strikes once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It never reaches the server; both sides are cut.
    CutBefore,
    /// It reaches the server and both sides are cut at once.
    CutDuring,
    /// The server answers it, and the answer never reaches the client.
    SwallowReply,
    /// The client is cut at once, and the server gets it so much later.
    ArriveLate(Duration),
}

/// Forwards to a server; dropped with the runtime of the test.
pub struct Proxy {
    pub url: String,
    orders: Arc<Orders>,
}

#[derive(Default)]
struct Orders {
    fault: Mutex<Option<Fault>>,
    /// Answers go to the client in pieces of so many bytes.
    piece: Mutex<Option<usize>>,
    statements: Mutex<Vec<String>>,
}

impl Proxy {
    /// A proxy to the server of this URL.
    pub async fn to(url: &str) -> Self {
        let (rest, database) = url.rsplit_once('/').expect("a URL with a database");
        let (start, server) = match rest.rsplit_once('@') {
            Some((start, server)) => (format!("{start}@"), server.to_owned()),
            None => {
                let (scheme, server) = rest.split_once("://").expect("a scheme");
                (format!("{scheme}://"), server.to_owned())
            }
        };
        let port = if url.starts_with("postgres") { 5432 } else { 3306 };
        let server = if server.contains(':') { server } else { format!("{server}:{port}") };
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        // Encrypted, a COMMIT could not be seen.
        let plain = if url.starts_with("postgres") { "sslmode=disable" } else { "ssl-mode=disabled" };
        let url = format!("{start}{address}/{database}?{plain}");
        let orders = Arc::new(Orders::default());
        tokio::spawn(accept(listener, server, url.clone(), Arc::clone(&orders)));
        Self { url, orders }
    }

    /// Lets this happen to the next COMMIT.
    pub fn strike(&self, fault: Fault) {
        *self.orders.fault.lock().expect("no panic") = Some(fault);
    }

    /// From now on answers arrive in pieces of so many bytes, so that a client waits for every one of them.
    pub fn answer_in_pieces(&self, bytes: usize) {
        *self.orders.piece.lock().expect("no panic") = Some(bytes);
    }

    /// The statements that were executed since the last call, prepared ones as often as they were executed.
    pub fn take_statements(&self) -> Vec<String> {
        std::mem::take(&mut *self.orders.statements.lock().expect("no panic"))
    }
}

async fn accept(listener: TcpListener, server: String, url: String, orders: Arc<Orders>) {
    while let Ok((client, _)) = listener.accept().await {
        let recorder = Arc::new(Mutex::new(Recorder::new(&url)));
        let (server, orders) = (server.clone(), Arc::clone(&orders));
        tokio::spawn(async move {
            let Ok(server) = TcpStream::connect(server).await else { return };
            let _ = (client.set_nodelay(true), server.set_nodelay(true));
            let (from_client, to_client) = client.into_split();
            let (from_server, to_server) = server.into_split();
            let silent = Arc::new(AtomicBool::new(false));
            let answers = tokio::spawn(answers(
                from_server,
                to_client,
                Arc::clone(&recorder),
                Arc::clone(&orders),
                Arc::clone(&silent),
            ));
            requests(from_client, to_server, &recorder, &orders, &silent, &answers).await;
        });
    }
}

async fn requests(
    mut client: OwnedReadHalf,
    mut server: OwnedWriteHalf,
    recorder: &Mutex<Recorder>,
    orders: &Orders,
    silent: &AtomicBool,
    answers: &tokio::task::JoinHandle<()>,
) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(read @ 1..) = client.read(&mut buffer).await {
        let request = &buffer[..read];
        let statements = recorder.lock().expect("no panic").read(request);
        let commits = statements.iter().any(|statement| statement == "COMMIT");
        orders.statements.lock().expect("no panic").extend(statements);
        let fault = if commits { orders.fault.lock().expect("no panic").take() } else { None };
        match fault {
            None => {
                if server.write_all(request).await.is_err() {
                    break;
                }
            }
            Some(Fault::CutBefore) => break,
            Some(Fault::CutDuring) => {
                let _ = server.write_all(request).await;
                break;
            }
            Some(Fault::SwallowReply) => {
                silent.store(true, Ordering::SeqCst);
                let _ = server.write_all(request).await;
                tokio::time::sleep(Duration::from_millis(200)).await;
                break;
            }
            Some(Fault::ArriveLate(late)) => {
                answers.abort(); // and with it the client's side
                drop(client);
                tokio::time::sleep(late).await;
                let _ = server.write_all(request).await;
                tokio::time::sleep(Duration::from_millis(200)).await;
                return;
            }
        }
    }
    answers.abort();
}

async fn answers(
    mut server: OwnedReadHalf,
    mut client: OwnedWriteHalf,
    recorder: Arc<Mutex<Recorder>>,
    orders: Arc<Orders>,
    silent: Arc<AtomicBool>,
) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(read @ 1..) = server.read(&mut buffer).await {
        recorder.lock().expect("no panic").answered(&buffer[..read]);
        if silent.load(Ordering::SeqCst) {
            continue;
        }
        let piece = orders.piece.lock().expect("no panic").unwrap_or(read);
        for part in buffer[..read].chunks(piece.max(1)) {
            if client.write_all(part).await.is_err() {
                return;
            }
            if part.len() < read {
                tokio::time::sleep(Duration::from_micros(100)).await;
            }
        }
    }
}
