//! Follows a job to its end.

use std::time::Duration;

use isochrone_arcgis::Error;
use isochrone_arcgis::gp::{GpTask, Job, JobStatus, MessageKind};
use isochrone_domain::{AttemptEnd, LogStream, Reason};
use isochrone_worker::{Attempt, StopReason};
use tokio::time::{Instant, sleep};

use super::handle::Handle;
use super::{failed, outputs};

/// The first look, and each after something has changed.
const SHORTEST: Duration = Duration::from_secs(1);
/// Between two looks at a job that has nothing new.
const LONGEST: Duration = Duration::from_secs(10);
/// A job that was told to end is looked at so often.
const AT_ITS_END: Duration = Duration::from_millis(500);
/// How long the job's end is awaited; the worker waits for its executor a little longer.
const PATIENCE: Duration = Duration::from_secs(8);
/// How long a server may be away before its job is given up.
const AWAY: Duration = Duration::from_mins(30);

/// A job, and what is known of it.
pub(super) struct Following<'a> {
    gp: &'a GpTask,
    attempt: &'a Attempt,
    handle: &'a Handle,
    /// Messages that are in the log.
    told: usize,
    progress: Option<String>,
    status: Option<JobStatus>,
    /// Since when the server can't be asked.
    away_since: Option<Instant>,
}

impl<'a> Following<'a> {
    pub(super) fn new(gp: &'a GpTask, attempt: &'a Attempt, handle: &'a Handle) -> Following<'a> {
        Following { gp, attempt, handle, told: 0, progress: None, status: None, away_since: None }
    }

    /// Looks at the job until it has ended or the attempt must stop.
    pub(super) async fn follow(mut self) -> Result<AttemptEnd, AttemptEnd> {
        let mut pause = SHORTEST;
        loop {
            let stop = tokio::select! {
                biased;
                reason = self.attempt.stopped() => Some(reason),
                () = sleep(spread(pause)) => None,
            };
            match stop {
                // Whoever goes on with the run goes on with the job.
                Some(StopReason::Draining | StopReason::LeaseLost) => return Ok(AttemptEnd::GivenBack),
                Some(StopReason::Cancelled | StopReason::Deadline) => return self.end_it().await,
                None => {}
            }
            let (job, news) = self.look().await?;
            pause = if news { SHORTEST } else { pause.mul_f32(1.5).min(LONGEST) };
            if let Some(job) = job.filter(|job| job.status.has_ended()) {
                return self.ended(job).await;
            }
        }
    }

    /// The job as it is, and whether something is new; none while its server is away.
    async fn look(&mut self) -> Result<(Option<Job>, bool), AttemptEnd> {
        match self.gp.job(&self.handle.job_id).await {
            Ok(job) => {
                self.away_since = None;
                let news = self.tell(&job).await;
                Ok((Some(job), news))
            }
            Err(error) if error.may_pass() || matches!(error, Error::Unreadable(_)) => {
                let since = *self.away_since.get_or_insert_with(Instant::now);
                if since.elapsed() > AWAY {
                    let result = format!(
                        "the job's server is away: {error}; the job may go on: {}",
                        self.handle.job_url
                    );
                    return Err(failed(Reason::BackendUnavailable, &result));
                }
                self.attempt.log(LogStream::System, format!("the job can't be looked at: {error}")).await;
                Ok((None, false))
            }
            Err(error @ (Error::Token(_) | Error::Forbidden(_))) => {
                let result = format!(
                    "the job may not be looked at any more: {error}; it may go on: {}",
                    self.handle.job_url
                );
                Err(failed(Reason::NotAllowed, &result))
            }
            Err(error) => {
                let result = format!("the job is gone, and nobody knows how it ended: {error}");
                Err(failed(Reason::SubmissionUnknown, &result))
            }
        }
    }

    /// Passes on what is new.
    async fn tell(&mut self, job: &Job) -> bool {
        let mut news = self.status.as_ref() != Some(&job.status);
        self.status = Some(job.status.clone());
        for message in job.messages.iter().skip(self.told) {
            let stream = match message.kind {
                MessageKind::Error | MessageKind::Abort => LogStream::Stderr,
                MessageKind::Warning | MessageKind::Informative => LogStream::Stdout,
            };
            self.attempt.log(stream, &message.description).await;
            news = true;
        }
        self.told = self.told.max(job.messages.len());
        let progress = job.progress.as_ref().map(|progress| {
            let percent = progress.percent.map(|percent| percent.clamp(0.0, 100.0) as u8);
            (percent, progress.message.clone())
        });
        if let Some((percent, message)) = progress {
            let now = format!("{percent:?} {message}");
            if self.progress.as_ref() != Some(&now) {
                self.attempt.progress(percent, message).await;
                self.progress = Some(now);
                news = true;
            }
        }
        news
    }

    /// Asks for the job's end and waits for it a little. Servers refuse that while a job is only submitted, and
    /// some tools never listen.
    async fn end_it(&mut self) -> Result<AttemptEnd, AttemptEnd> {
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            if self.status.as_ref() != Some(&JobStatus::Cancelling)
                && let Err(error) = self.gp.cancel(&self.handle.job_id).await
            {
                self.attempt.log(LogStream::System, format!("the job is not cancelled yet: {error}")).await;
            }
            let (job, _) = self.look().await?;
            if let Some(job) = job.filter(|job| job.status.has_ended()) {
                return self.ended(job).await;
            }
            sleep(AT_ITS_END).await;
        }
        let result = format!("it was told to stop, and its job still runs: {}", self.handle.job_url);
        self.attempt.log(LogStream::System, &result).await;
        Err(failed(Reason::Cancelled, &result))
    }

    async fn ended(&mut self, job: Job) -> Result<AttemptEnd, AttemptEnd> {
        let reason = match job.status {
            JobStatus::Succeeded => {
                let result = outputs::record(self.gp, self.attempt, self.handle, job).await?;
                return Ok(AttemptEnd::Succeeded { result });
            }
            JobStatus::TimedOut => Reason::Timeout,
            JobStatus::Cancelled | JobStatus::Deleted => Reason::Cancelled,
            _ => Reason::ExecutionError,
        };
        let errors = job.messages.iter().filter(|message| message.kind == MessageKind::Error);
        let errors: Vec<&str> = errors.map(|message| message.description.as_str()).collect();
        let result = match (errors.is_empty(), &job.status) {
            (false, _) => errors.join("\n"),
            (true, JobStatus::TimedOut) => {
                "the server ended the job: it took longer than it allows".to_owned()
            }
            (true, JobStatus::Cancelled | JobStatus::Deleted) => {
                "the job was cancelled at its server".to_owned()
            }
            (true, _) => "the job failed and said nothing of why".to_owned(),
        };
        Err(failed(reason, &outputs::shortened(&result)))
    }
}

/// About so long: many jobs are not to be looked at in one moment.
fn spread(pause: Duration) -> Duration {
    let random = isochrone_domain::RunId::random();
    let part = f64::from(random.as_bytes()[0]) / 255.0;
    pause.mul_f64(0.8 + 0.4 * part)
}
