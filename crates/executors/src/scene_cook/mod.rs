//! ExecuteSceneCook: the cache of a scene service, made anew or brought up to date by the service's own server.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use isochrone_arcgis::gp::Parameters;
use isochrone_domain::{AttemptEnd, LogStream, Reason, SceneCook, TaskType};
use isochrone_worker::{Attempt, Executor};
use tokio::time::sleep;

use crate::gp_job::GpJobs;
use crate::remote::{bad_input, failed};

/// The geoprocessing task that cooks, below a server's root.
const MANAGE_SCENE_CACHE: &str =
    "rest/services/System/SceneCachingControllers/GPServer/Manage%20Scene%20Cache";
/// How long a service stays a dead cook's.
const HELD: Duration = Duration::from_secs(30);
/// Between two times of asking for it.
const ASKED_AGAIN: Duration = Duration::from_secs(5);

/// The geoprocessing task that cooks at the server with this root.
pub fn cooking_task(root: &str) -> String {
    format!("{}/{MANAGE_SCENE_CACHE}", root.trim_end_matches('/'))
}

/// Lets one run at a time have a thing, anywhere in the fleet.
#[async_trait]
pub trait Holds: Send + Sync {
    /// Asks for `what`, or to go on having it, for so long. False: another has it. The error is for people.
    async fn hold(&self, what: &str, holder: &str, length: Duration) -> Result<bool, String>;

    /// Gives it back.
    async fn let_go(&self, what: &str, holder: &str);
}

/// Carries out ExecuteSceneCook.
pub struct ExecuteSceneCook {
    jobs: GpJobs,
    holds: Arc<dyn Holds>,
    /// The server that cooks, whatever the service's own is.
    server: Option<String>,
}

impl ExecuteSceneCook {
    /// As jobs of these; `server`: the root of the server that cooks, `https://host[:port][/context]`, where it is
    /// not the service's own.
    pub fn new(jobs: GpJobs, holds: Arc<dyn Holds>, server: Option<String>) -> ExecuteSceneCook {
        ExecuteSceneCook { jobs, holds, server }
    }

    async fn carry_out(&self, attempt: &Attempt) -> Result<AttemptEnd, AttemptEnd> {
        let text = attempt.task().parameters.as_deref().unwrap_or("{}");
        let cook = SceneCook::read(text).map_err(|problem| AttemptEnd::SubmitFailed {
            reason: Reason::BadInput,
            result: problem.to_string(),
        })?;
        let parameters =
            Parameters::read(&cook.parameters()).map_err(|error| bad_input("parameters", &error))?;
        let url = cooking_task(self.server.as_deref().unwrap_or_else(|| cook.server_root()));
        let (what, holder) = (format!("scene {}", cook.service_key()), attempt.run().id.to_string());
        self.wait_for_turn(attempt, &what, &holder).await?;
        let end = tokio::select! {
            end = self.jobs.carry_out(attempt, "service_url", &url, &parameters) => end,
            why = self.go_on_holding(&what, &holder) => Err(failed(Reason::Internal, &why)),
        };
        self.holds.let_go(&what, &holder).await;
        end
    }

    /// Two cooks of one service would undo each other's work.
    async fn wait_for_turn(&self, attempt: &Attempt, what: &str, holder: &str) -> Result<(), AttemptEnd> {
        let mut told = false;
        loop {
            let has_it = self.holds.hold(what, holder, HELD).await;
            if has_it.map_err(|why| failed(Reason::Internal, &why))? {
                return Ok(());
            }
            if !told {
                attempt.log(LogStream::System, "another run cooks this service; it is waited for").await;
                attempt.progress(None, "waits for another cook of this service").await;
                told = true;
            }
            tokio::select! {
                biased;
                reason = attempt.stopped() => {
                    let result = format!("it was stopped while another run cooked the service ({reason:?})");
                    return Err(failed(Reason::Cancelled, &result));
                }
                () = sleep(ASKED_AGAIN) => {}
            }
        }
    }

    /// Ends only when another has it.
    async fn go_on_holding(&self, what: &str, holder: &str) -> String {
        loop {
            sleep(ASKED_AGAIN).await;
            match self.holds.hold(what, holder, HELD).await {
                Ok(true) => {}
                Ok(false) => return "another run cooks this service by now".to_owned(),
                Err(error) => tracing::warn!(what, error, "the service's hold could not be renewed"),
            }
        }
    }
}

#[async_trait]
impl Executor for ExecuteSceneCook {
    fn kind(&self) -> TaskType {
        TaskType::ExecuteSceneCook
    }

    fn default_timeout(&self) -> Duration {
        Duration::from_hours(48)
    }

    async fn execute(&self, attempt: &Attempt) -> AttemptEnd {
        self.carry_out(attempt).await.unwrap_or_else(|end| end)
    }
}
