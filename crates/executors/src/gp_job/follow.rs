//! Follows a job to its end.

use std::time::Duration;

use isochrone_arcgis::Error;
use isochrone_arcgis::gp::{GpTask, Job, JobStatus, MessageKind, Progress};
use isochrone_domain::{AttemptEnd, LogStream, Reason};
use isochrone_worker::Attempt;
use tokio::time::{Instant, sleep};

use super::handle::Handle;
use super::outputs;
use crate::remote::{Away, LONGEST, Next, PATIENCE, SHORTEST, failed, is_passing, next, still_runs};

/// A job that was told to end is looked at so often.
const AT_ITS_END: Duration = Duration::from_millis(500);

/// A job, and what is known of it.
pub(super) struct Following<'a> {
    gp: &'a GpTask,
    attempt: &'a Attempt,
    handle: &'a Handle,
    /// Messages that are in the log.
    told: usize,
    progress: Option<Progress>,
    status: Option<JobStatus>,
    away: Away,
}

impl<'a> Following<'a> {
    pub(super) fn new(gp: &'a GpTask, attempt: &'a Attempt, handle: &'a Handle) -> Following<'a> {
        Following { gp, attempt, handle, told: 0, progress: None, status: None, away: Away::default() }
    }

    /// Looks at the job until it has ended or the attempt must stop.
    pub(super) async fn follow(mut self) -> Result<AttemptEnd, AttemptEnd> {
        let mut pause = SHORTEST;
        loop {
            match next(self.attempt, spread(pause)).await {
                Next::Look => {}
                Next::GiveBack => return Ok(AttemptEnd::GivenBack),
                Next::End => return self.end_it().await,
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
                self.away.is_back();
                let news = self.tell(&job).await;
                Ok((Some(job), news))
            }
            Err(error) if is_passing(&error) => {
                self.away.is_away(self.attempt, &error, &self.handle.job_url).await?;
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
        if let Some(progress) = job.progress.as_ref().filter(|now| self.progress.as_ref() != Some(*now)) {
            let percent = progress.percent.map(|percent| percent.clamp(0.0, 100.0) as u8);
            self.attempt.progress(percent, &progress.message).await;
            self.progress = Some(progress.clone());
            news = true;
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
        Err(still_runs(self.attempt, &self.handle.job_url).await)
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
