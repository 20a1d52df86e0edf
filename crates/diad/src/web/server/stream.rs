//! A connection that does not wait for ever for a client that reads nothing.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

/// A stream whose writes fail where the other end has taken nothing for a while. Its reads are those of the stream: what a
/// client must have sent by when is known to whoever reads.
pub(super) struct Bounded<S> {
    stream: S,
    patience: Duration,
    /// When the patience with the write that waits now ends; none while no write waits.
    give_up: Option<Pin<Box<Sleep>>>,
}

impl<S> Bounded<S> {
    pub(super) const fn new(stream: S, patience: Duration) -> Self {
        Self { stream, patience, give_up: None }
    }

    /// Passes on what came of a write, or its end where it has waited for too long.
    fn watch<T>(&mut self, written: Poll<io::Result<T>>, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.give_up = None;
            return written;
        }
        let patience = self.patience;
        let give_up = self.give_up.get_or_insert_with(|| Box::pin(tokio::time::sleep(patience)));
        give_up.as_mut().poll(context).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Bounded<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Bounded<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.watch(written, context)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        self.watch(flushed, context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
