//! What the driver says while it executes a notebook.

use isochrone_domain::LogStream;
use serde::Deserialize;

/// One line of the driver's output.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case", tag = "event")]
pub(super) enum Event {
    /// The notebook was read.
    Notebook {
        /// How many code cells it has.
        cells: u32,
    },
    /// The kernel runs.
    Kernel {
        /// Its process, which leads a process group of its own.
        pid: i32,
    },
    /// A code cell begins.
    CellStarted {
        /// Counted from 1.
        cell: u32,
    },
    /// A code cell has ended, one way or another.
    CellFinished,
    /// A cell's output; not always whole lines.
    Output {
        /// Where it was written.
        stream: Stream,
        /// What.
        text: String,
    },
    /// What the driver has to say of the notebook, for the run's log.
    Note {
        /// What.
        text: String,
    },
    /// The notebook as it is now follows the line, in as many bytes, unless they are more than it may have.
    Document {
        /// How many.
        bytes: u64,
    },
    /// The cells' output is more than it may be.
    OutputLimit,
    /// The notebook or its parameters can't be used.
    Refused {
        /// Why.
        message: String,
    },
    /// A cell raised an error that nothing tolerates.
    CellFailed {
        /// The error's class.
        ename: String,
        /// Its text.
        evalue: String,
        /// Counted from 1.
        cell: u32,
    },
    /// The driver was told to stop, and so no further cell began.
    Stopped {
        /// The last cell that had begun, 0 if none had.
        cell: u32,
    },
    /// The kernel ended by itself.
    KernelDied {
        /// As nbclient says it.
        message: String,
        /// The cell that ran, 0 if none did yet.
        cell: u32,
    },
    /// The driver itself met an error that it does not expect.
    DriverFailed {
        /// The error.
        message: String,
    },
    /// The value of an output parameter of ArcGIS's Parameters pane.
    Result {
        /// The variable's name.
        name: String,
        /// The value.
        json: String,
    },
    /// Every cell was executed, or one said that the rest is not needed.
    Done {
        /// How many code cells were executed.
        executed: u32,
    },
    /// The driver has no more to say.
    End,
}

/// A kernel's output stream.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Stream {
    Stdout,
    Stderr,
}

impl From<Stream> for LogStream {
    fn from(stream: Stream) -> LogStream {
        match stream {
            Stream::Stdout => LogStream::Stdout,
            Stream::Stderr => LogStream::Stderr,
        }
    }
}
