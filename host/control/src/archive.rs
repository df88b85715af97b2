//! A backup on its way: written on a thread that may block, read in pieces, and whole or visibly not.

use std::io::{self, Write};

use bytes::{Bytes, BytesMut};
use futures_util::Stream;
use futures_util::stream::unfold;
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use crate::limits::{PIECE_BYTES, PIECES_MAX, STALL_TIMEOUT};
use crate::plane::PlaneError;
use crate::problem::Problem;
use crate::routes::App;

/// One message of the writer.
enum Piece {
    Bytes(Bytes),
    Failed(PlaneError),
    /// All were sent. A writer that leaves without it panicked.
    End,
}

/// Begins a backup; fails where the plane does before its first byte.
pub(crate) async fn begin(
    app: &App,
) -> Result<impl Stream<Item = io::Result<Bytes>> + Send + 'static, Problem> {
    let plane = app.plane.clone().ok_or_else(Problem::no_plane)?;
    let place = app.backups.place().await?;
    let (sender, mut pieces) = mpsc::channel(PIECES_MAX);
    let handle = Handle::current();
    tokio::task::spawn_blocking(move || {
        let _place = place;
        let mut writer = Writer {
            sender,
            handle,
            piece: BytesMut::with_capacity(PIECE_BYTES),
        };
        let written = plane.backup(&mut writer);
        let last = match written.and_then(|()| {
            let flushed = writer.flush();
            flushed.map_err(|error| PlaneError::Unavailable(error.to_string()))
        }) {
            Ok(()) => Piece::End,
            Err(error) => {
                tracing::warn!(error = %error, "control: a backup was not completed");
                Piece::Failed(error)
            }
        };
        // A reader that left wants to hear nothing.
        drop(writer.send(last));
    });
    let first = match pieces.recv().await {
        None => return Err(Problem::internal()),
        Some(Piece::Failed(error)) => return Err(error.into()),
        Some(first) => first,
    };
    Ok(unfold(Some((Some(first), pieces)), |state| async move {
        let (first, mut pieces) = state?;
        let piece = match first {
            Some(first) => Some(first),
            None => pieces.recv().await,
        };
        match piece {
            Some(Piece::Bytes(bytes)) => Some((Ok(bytes), Some((None, pieces)))),
            Some(Piece::End) => None,
            Some(Piece::Failed(_)) | None => {
                Some((Err(io::Error::other("the backup was not completed")), None))
            }
        }
    }))
}

/// Cuts what is written into pieces, and waits for the reader to take them, but not for ever.
struct Writer {
    sender: mpsc::Sender<Piece>,
    handle: Handle,
    piece: BytesMut,
}

impl Writer {
    fn send(&self, piece: Piece) -> io::Result<()> {
        let sent = self
            .handle
            .block_on(tokio::time::timeout(STALL_TIMEOUT, self.sender.send(piece)));
        match sent {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(io::Error::new(
                io::ErrorKind::BrokenPipe,
                "the reader of the backup left",
            )),
            Err(_) => Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "the reader of the backup stopped reading",
            )),
        }
    }
}

impl Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = PIECE_BYTES - self.piece.len();
        let taken = bytes.len().min(room);
        self.piece.extend_from_slice(&bytes[..taken]);
        if self.piece.len() == PIECE_BYTES {
            self.flush()?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.piece.is_empty() {
            return Ok(());
        }
        let piece = self.piece.split().freeze();
        self.send(Piece::Bytes(piece))
    }
}
