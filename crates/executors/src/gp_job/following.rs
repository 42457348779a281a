//! A geoprocessing job as it is followed.

use async_trait::async_trait;
use isochrone_arcgis::Error;
use isochrone_arcgis::gp::{GpTask, Job, JobStatus, MessageKind, Progress};
use isochrone_domain::{AttemptEnd, LogStream, Reason};
use isochrone_worker::Attempt;

use super::handle::Handle;
use super::outputs;
use crate::remote::failed;
use crate::remote_job::{RemoteJob, Seen};

/// A job, and what is known of it.
pub(super) struct Following<'a> {
    gp: &'a GpTask,
    handle: &'a Handle,
    /// Messages that are in the log.
    told: usize,
    progress: Option<Progress>,
    status: Option<JobStatus>,
}

impl<'a> Following<'a> {
    pub(super) fn new(gp: &'a GpTask, handle: &'a Handle) -> Following<'a> {
        Following { gp, handle, told: 0, progress: None, status: None }
    }

    /// Passes on what is new.
    async fn tell(&mut self, job: &Job, attempt: &Attempt) -> bool {
        let mut news = self.status.as_ref() != Some(&job.status);
        self.status = Some(job.status.clone());
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
            let percent = progress.percent.map(|percent| percent.clamp(0.0, 100.0) as u8);
            attempt.progress(percent, &progress.message).await;
            self.progress = Some(progress.clone());
            news = true;
        }
        news
    }

    async fn ended(&mut self, job: Job, attempt: &Attempt) -> AttemptEnd {
        let reason = match job.status {
            JobStatus::Succeeded => {
                return match outputs::record(self.gp, attempt, self.handle, job).await {
                    Ok(result) => AttemptEnd::Succeeded { result },
                    Err(end) => end,
                };
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
        failed(reason, &outputs::shortened(&result))
    }
}

#[async_trait]
impl RemoteJob for Following<'_> {
    fn url(&self) -> &str {
        &self.handle.job_url
    }

    async fn look(&mut self, attempt: &Attempt) -> Result<Seen, Error> {
        let job = self.gp.job(&self.handle.job_id).await?;
        let news = self.tell(&job, attempt).await;
        if job.status.has_ended() {
            return Ok(Seen::Ended(self.ended(job, attempt).await));
        }
        Ok(Seen::GoesOn { news, again_in: None })
    }

    async fn end(&mut self) -> Result<(), Error> {
        // A job that was told already refuses to be told again.
        if self.status == Some(JobStatus::Cancelling) {
            return Ok(());
        }
        self.gp.cancel(&self.handle.job_id).await
    }
}
