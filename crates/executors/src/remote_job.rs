//! A job of another server, followed to its end: the same for every kind of job.

use std::time::Duration;

use async_trait::async_trait;
use isochrone_arcgis::Error;
use isochrone_arcgis::jobs::JobState;
use isochrone_domain::{AttemptEnd, LogStream, Reason};
use isochrone_worker::Attempt;
use tokio::time::{Instant, sleep};

use crate::remote::{Away, LONGEST, Next, PATIENCE, SHORTEST, failed, is_passing, next, still_runs};

/// A job that was told to end is looked at so often.
const AT_ITS_END: Duration = Duration::from_millis(500);
/// Before the first look: a job that was found again may have ended long ago.
const FIRST: Duration = Duration::from_millis(250);
/// Looks for a job of whose work the results are there.
const LOOKS_FOR_A_JOB: u32 = 3;
/// The longest pause that a server may ask for.
const LONGEST_ASKED: Duration = Duration::from_mins(5);

/// A job that has begun, as its attempt follows it.
#[async_trait]
pub(crate) trait RemoteJob: Send {
    /// Where it is, for people.
    fn url(&self) -> &str;

    /// Looks at it, and tells the attempt what is new.
    async fn look(&mut self, attempt: &Attempt) -> Result<Seen, Error>;

    /// Tells it to end.
    async fn end(&mut self) -> Result<(), Error>;
}

/// What a look at a job has shown.
pub(crate) enum Seen {
    /// It goes on.
    GoesOn {
        /// Whether anything has changed since the last look.
        news: bool,
        /// When the server wants to be asked again.
        again_in: Option<Duration>,
    },
    /// It has ended; so does the attempt.
    Ended(AttemptEnd),
}

/// Says once that a server's word for what its job does is unknown.
#[derive(Default)]
pub(crate) struct UnknownWord(bool);

impl UnknownWord {
    pub(crate) async fn note(&mut self, attempt: &Attempt, state: &JobState) {
        if let (JobState::Unknown(word), false) = (state, self.0) {
            self.0 = true;
            let word: String = word.chars().take(100).collect();
            let line = format!("the server's status '{word}' is unknown here: the job is taken to go on");
            attempt.log(LogStream::System, line).await;
        }
    }
}

/// Whether there is a job, for a server that names one and has what came of it in the same response.
pub(crate) async fn is_there<T, F>(attempt: &Attempt, look: impl Fn() -> F) -> bool
where
    F: Future<Output = Result<T, Error>>,
{
    for look_number in 1..=LOOKS_FOR_A_JOB {
        match look().await {
            Ok(_) => return true,
            Err(error) if look_number == LOOKS_FOR_A_JOB || attempt.must_stop().is_some() => {
                let line =
                    format!("there is no job to look at: the response itself has the results: {error}");
                attempt.log(LogStream::System, line).await;
            }
            Err(_) => sleep(SHORTEST).await,
        }
    }
    false
}

/// Looks at the job until it has ended or the attempt must stop.
pub(crate) async fn follow(job: &mut dyn RemoteJob, attempt: &Attempt) -> Result<AttemptEnd, AttemptEnd> {
    let (mut usual, mut pause, mut away) = (FIRST, about(FIRST), Away::default());
    loop {
        match next(attempt, pause).await {
            Next::Look => {}
            Next::GiveBack => return Ok(AttemptEnd::GivenBack),
            Next::End => return end(job, attempt).await,
        }
        let longer = usual.mul_f32(1.5).clamp(SHORTEST, LONGEST);
        let asked;
        (usual, asked) = match job.look(attempt).await {
            Ok(Seen::Ended(end)) => return Ok(end),
            Ok(Seen::GoesOn { news, again_in }) => {
                away.is_back();
                (if news { SHORTEST } else { longer }, again_in)
            }
            Err(error) if is_passing(&error) => {
                away.is_away(attempt, &error, job.url()).await?;
                (longer, error.again_in())
            }
            Err(error) => match away.is_denied(attempt, &error, usual.max(SHORTEST)).await {
                Some(pause) => (longer, Some(pause)),
                None => return Err(lost(&error, job.url())),
            },
        };
        pause = asked.map_or_else(|| about(usual), no_sooner);
    }
}

/// Asks for the job's end and waits for it a little. Servers refuse that while a job is only submitted, and some
/// jobs never listen.
async fn end(job: &mut dyn RemoteJob, attempt: &Attempt) -> Result<AttemptEnd, AttemptEnd> {
    let mut until = Instant::now() + PATIENCE;
    let (mut told, mut refusal) = (false, String::new());
    while Instant::now() < until {
        if attempt.trust().is_over() {
            attempt.trust().there().await;
            until = Instant::now() + PATIENCE;
        }
        // Once it was heard, it is not said again.
        if !told {
            match job.end().await {
                Ok(()) => told = true,
                Err(error) if error.to_string() == refusal => {}
                Err(error) => {
                    refusal = error.to_string();
                    attempt.log(LogStream::System, format!("the job is not cancelled yet: {error}")).await;
                }
            }
        }
        match job.look(attempt).await {
            Ok(Seen::Ended(end)) => return Ok(end),
            Ok(Seen::GoesOn { .. }) => {}
            Err(error) if is_passing(&error) => {}
            // It is gone: that is what was wanted.
            Err(Error::Refused(_)) => return Err(failed(Reason::Cancelled, "the job was cancelled")),
            Err(error) => return Err(lost(&error, job.url())),
        }
        sleep(AT_ITS_END).await;
    }
    Err(still_runs(attempt, job.url()).await)
}

/// The end of an attempt that may not look at its job any more, or whose job is not there.
fn lost(error: &Error, job: &str) -> AttemptEnd {
    match error {
        Error::Token(_) | Error::Forbidden(_) => failed(
            Reason::NotAllowed,
            &format!("the job may not be looked at any more: {error}; it may go on: {job}"),
        ),
        _ => failed(
            Reason::SubmissionUnknown,
            &format!("the job is gone, and nobody knows how it ended: {error}"),
        ),
    }
}

/// About so long: many jobs are not to be looked at in one moment.
fn about(pause: Duration) -> Duration {
    pause.mul_f64(0.8 + 0.4 * chance())
}

/// Waits until what has failed so may be tried again: as long as the server asked for, else as usual, and shortly where
/// the attempt is to stop.
pub(crate) async fn until_next_try(attempt: &Attempt, error: &Error, usual: Duration) {
    if attempt.must_stop().is_some() {
        sleep(SHORTEST).await;
    } else {
        next(attempt, error.again_in().map_or(usual, no_sooner)).await;
    }
}

/// As long as a server asked for, or a little longer.
fn no_sooner(asked: Duration) -> Duration {
    asked.clamp(SHORTEST, LONGEST_ASKED).mul_f64(1.0 + 0.2 * chance())
}

/// From 0 to 1.
fn chance() -> f64 {
    f64::from(isochrone_domain::RunId::random().as_bytes()[0]) / 255.0
}
