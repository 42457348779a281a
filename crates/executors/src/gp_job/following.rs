//! A geoprocessing job as it is followed.

use async_trait::async_trait;
use isochrone_arcgis::Error;
use isochrone_arcgis::gp::{GpTask, Job, MessageKind, Progress};
use isochrone_arcgis::jobs::JobState;
use isochrone_domain::{AttemptEnd, LogStream, Reason};
use isochrone_worker::Attempt;

use super::handle::Handle;
use super::outputs;
use crate::remote::failed;
use crate::remote_job::{RemoteJob, Seen, UnknownWord};

/// A job, and what is known of it.
pub(super) struct Following<'a> {
    gp: &'a GpTask,
    handle: &'a Handle,
    /// Messages that are in the log.
    told: usize,
    progress: Option<Progress>,
    state: Option<JobState>,
    unknown: UnknownWord,
}

impl<'a> Following<'a> {
    pub(super) fn new(gp: &'a GpTask, handle: &'a Handle) -> Following<'a> {
        Following { gp, handle, told: 0, progress: None, state: None, unknown: UnknownWord::default() }
    }

    /// Passes on what is new.
    async fn tell(&mut self, job: &Job, attempt: &Attempt) -> bool {
        self.unknown.note(attempt, &job.state).await;
        let mut news = self.state.as_ref() != Some(&job.state);
        self.state = Some(job.state.clone());
        for message in job.messages.iter().skip(self.told) {
            let stream = match message.kind {
                MessageKind::Error | MessageKind::Abort => LogStream::Stderr,
                MessageKind::Warning | MessageKind::Informative => LogStream::Stdout,
            };
            attempt.log(stream, &message.description).await;
            news = true;
        }
        self.told = self.told.max(job.messages.len());
        if let Some(progress) = job.progress.as_ref().filter(|now| self.progress.as_ref() != Some(*now)) {
            attempt.progress(progress.percent, &progress.message).await;
            self.progress = Some(progress.clone());
            news = true;
        }
        news
    }

    async fn ended(&mut self, job: Job, attempt: &Attempt) -> AttemptEnd {
        let reason = match job.state {
            JobState::Succeeded => {
                return match outputs::record(self.gp, attempt, self.handle, job).await {
                    Ok(result) => AttemptEnd::Succeeded { result },
                    Err(end) => end,
                };
            }
            JobState::TimedOut => Reason::Timeout,
            JobState::Cancelled => Reason::Cancelled,
            _ => Reason::ExecutionError,
        };
        let said: Vec<&str> = problem_messages(&job).collect();
        let result = match (said.is_empty(), &job.state) {
            (false, _) => said.join("\n"),
            (true, JobState::TimedOut) => {
                "the server ended the job: it took longer than it allows".to_owned()
            }
            (true, JobState::Cancelled) => "the job was cancelled at its server".to_owned(),
            (true, _) => match (&job.message, job.messages.last()) {
                (Some(message), _) => message.clone(),
                (None, Some(last)) => format!("the job failed; it last said: {}", last.description),
                (None, None) => "the job failed and said nothing of why".to_owned(),
            },
        };
        failed(reason, &outputs::shortened(&result))
    }
}

/// What a tool said of what went wrong, or may have.
fn problem_messages(job: &Job) -> impl Iterator<Item = &str> {
    let wrong =
        |kind: MessageKind| matches!(kind, MessageKind::Error | MessageKind::Abort | MessageKind::Warning);
    job.messages.iter().filter(move |message| wrong(message.kind)).map(|message| message.description.as_str())
}

#[async_trait]
impl RemoteJob for Following<'_> {
    fn url(&self) -> &str {
        &self.handle.job_url
    }

    async fn look(&mut self, attempt: &Attempt) -> Result<Seen, Error> {
        let job = self.gp.job(&self.handle.job_id).await?;
        let news = self.tell(&job, attempt).await;
        if job.state.has_ended() {
            return Ok(Seen::Ended(self.ended(job, attempt).await));
        }
        Ok(Seen::GoesOn { news, again_in: None })
    }

    async fn end(&mut self) -> Result<(), Error> {
        // A job that was told already refuses to be told again.
        if self.state == Some(JobState::Cancelling) {
            return Ok(());
        }
        self.gp.cancel(&self.handle.job_id).await
    }
}
