//! The listener and its thread.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, oneshot};
use tracing::{debug, info, warn};

use self::stream::Bounded;
use super::plant::{MAX_PARALLEL_REQUESTS, Plant};
use super::{Access, router};
use crate::chain::chain;
use crate::health::Source;

mod stream;

/// What the health of a station calls the page.
const HTTP_HEALTH: Source = Source::Http;
/// Connections at a time: a few browsers, a scraper, and some that hang.
const MAX_CONNECTIONS: usize = 64;
/// A client must have sent its headers by then.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// A client must have taken some of its answer by then, and some more as long after that.
const TAKEN: Duration = Duration::from_secs(10);
/// No connection lives longer, whatever its client reads; a browser's event source comes back by itself.
const MAX_CONNECTION_TIME: Duration = Duration::from_secs(600);
/// Bytes read ahead from one client, headers included.
const READ_AHEAD: usize = 16 << 10;
/// Wait before an address that is taken is tried again.
const LISTEN_RETRY_INTERVAL: Duration = Duration::from_secs(2);
/// How often the board takes in what was noted, whether or not anybody looks.
const STATS_INTERVAL: Duration = Duration::from_millis(100);
/// The page gets what the line leaves of the processor.
const NICE: i32 = 19;
/// How long the last answers may take at the end.
const HTTP_DRAIN_TIMEOUT: Duration = Duration::from_millis(300);

/// Where the page is.
#[derive(Debug)]
pub struct WebSpec {
    /// Address to listen on.
    pub listen: SocketAddr,
    /// Who may ask.
    pub access: Access,
    /// The thresholds file, which the page may write.
    pub thresholds: PathBuf,
}

/// A running page; dropped, it ends.
#[derive(Debug)]
pub struct Running {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// Starts the page on a thread of its own. An address that is taken is a problem of the page and not of the station: it
/// is said, and tried again.
///
/// # Errors
/// The system gives no thread.
pub fn start(listen: SocketAddr, access: Access, plant: Arc<Plant>) -> io::Result<Running> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .max_blocking_threads(MAX_PARALLEL_REQUESTS)
        .thread_name("http-work")
        .build()?;
    let (stop, stopped) = oneshot::channel();
    let run = move || {
        // The threads that it starts inherit it.
        be_nice();
        let serve = serve(listen, router(Arc::clone(&plant), access), &plant);
        runtime.block_on(async {
            tokio::select! {
                () = serve => {}
                _ = stopped => {}
            }
        });
        runtime.shutdown_timeout(HTTP_DRAIN_TIMEOUT);
    };
    let thread = std::thread::Builder::new().name("http".to_owned()).spawn(run)?;
    Ok(Running { stop: Some(stop), thread: Some(thread) })
}

fn be_nice() {
    // On Linux this is the calling thread's alone.
    if let Err(error) = rustix::process::nice(NICE) {
        debug!(%error, "priority of the page not lowered");
    }
}

async fn serve(listen: SocketAddr, router: Router, plant: &Plant) {
    let listener = loop {
        match TcpListener::bind(listen).await {
            Ok(listener) => break listener,
            Err(error) => {
                plant.health.problem(HTTP_HEALTH, &format!("{listen} cannot be listened on: {error}"));
                tokio::time::sleep(LISTEN_RETRY_INTERVAL).await;
            }
        }
    };
    plant.health.well(HTTP_HEALTH);
    match listener.local_addr() {
        Ok(address) => info!("dashboard at http://{address}/"),
        Err(error) => warn!(%error, "dashboard at an address that is not known"),
    }
    let board = plant.board.clone();
    tokio::spawn(async move {
        let mut ticks = tokio::time::interval(STATS_INTERVAL);
        loop {
            ticks.tick().await;
            board.settle();
        }
    });
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        // Further clients wait in the system's queue.
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, peer)) => {
                let router = router.clone();
                tokio::spawn(async move {
                    let _place = place;
                    if tokio::time::timeout(MAX_CONNECTION_TIME, connection(stream, router)).await.is_err() {
                        debug!(%peer, "connection ended: it lived long enough");
                    }
                });
            }
            Err(error) => {
                // Too many open files, for example: it passes.
                warn!(error = %chain(&error), "connection not accepted");
                tokio::time::sleep(LISTEN_RETRY_INTERVAL).await;
            }
        }
    }
}

async fn connection(stream: TcpStream, router: Router) {
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(READ_AHEAD)
        .serve_connection(TokioIo::new(Bounded::new(stream, TAKEN)), TowerToHyperService::new(router))
        .await;
    if let Err(error) = served {
        debug!(error = %chain(&error), "connection broke off");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop = None;
        let give_up = Instant::now() + 2 * HTTP_DRAIN_TIMEOUT;
        let Some(thread) = self.thread.take() else { return };
        while !thread.is_finished() && Instant::now() < give_up {
            std::thread::sleep(Duration::from_millis(5));
        }
        if thread.is_finished() && thread.join().is_err() {
            tracing::error!("thread \"http\" had panicked");
        }
    }
}
