//! `up --demo`: a sample task of each type, beside a simulated ArcGIS, and the story as it happens.

mod samples;
pub(crate) mod simulated;
mod story;

use std::net::SocketAddr;

use anyhow::Result;
use isochrone_domain::{ItemId, Submission, Task};
use isochrone_store::{Page, TaskFilter};
use tokio_util::sync::CancellationToken;

use crate::commands::item::add_notebook;
use crate::wiring::House;
use simulated::Simulated;
pub(crate) use story::prepare_python;

/// The same at each start, so that a second one adds no second notebook.
pub(crate) const NOTEBOOK: ItemId = ItemId::from_bytes(*b"isochrone-demo-1");
pub(crate) const NOTEBOOK_SOURCE: &str = include_str!("sample.ipynb");
/// The demo.
pub(crate) struct Demo<'a> {
    house: &'a House,
    address: SocketAddr,
    simulated: &'a Simulated,
}

impl<'a> Demo<'a> {
    pub(crate) fn new(house: &'a House, address: SocketAddr, simulated: &'a Simulated) -> Self {
        Demo { house, address, simulated }
    }

    /// Adds the samples, then tells what happens until `stop`.
    pub(crate) async fn run(&self, stop: &CancellationToken) -> Result<()> {
        self.introduce();
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            prepared = story::prepare_python(&self.house.python) => prepared?,
        }
        let tasks = self.add_samples().await?;
        let mut first = Vec::new();
        for task in &tasks {
            first.push(self.run_once(task).await?);
        }
        story::tell(self.house, self.address, &tasks, &first, stop).await
    }

    fn introduce(&self) {
        println!("Isochrone is up at http://{}/sharing/rest", self.address);
        println!("Everything is kept in {}", self.house.data_dir.display());
        println!("Open it in a browser and sign in as admin to look around. Ctrl-C stops it.\n");
    }

    /// The sample tasks, the notebook's first.
    async fn add_samples(&self) -> Result<Vec<Task>> {
        let data = NOTEBOOK_SOURCE.as_bytes().to_vec();
        add_notebook(self.house, Some(NOTEBOOK), "Chart of a random walk", None, data).await?;
        let mut tasks = Vec::new();
        for sample in samples::all(&self.simulated.gis) {
            tasks.push(self.task_once(sample).await?);
        }
        Ok(tasks)
    }

    /// The sample task of this title; made only where it is missing, or is for a server of an earlier demo.
    async fn task_once(&self, sample: Submission) -> Result<Task> {
        let operator = House::operator();
        let filter = TaskFilter { owner: Some("admin".to_owned()), ..TaskFilter::default() };
        let tasks =
            self.house.submissions.tasks(&operator, &filter, Page { offset: 0, limit: 1_000 }).await?;
        if let Some(task) = tasks.rows.into_iter().find(|task| task.title == sample.title) {
            if (&task.task_url, &task.parameters) == (&sample.task_url, &sample.parameters) {
                return Ok(self.house.submissions.enable(&operator, task.id).await?);
            }
            self.house.submissions.delete(&operator, task.id).await?;
        }
        Ok(self.house.submissions.create(&operator, "admin", sample).await?.task)
    }

    /// A first run at once: nobody likes to wait for the next minute.
    async fn run_once(&self, task: &Task) -> Result<isochrone_domain::RunId> {
        let nonce = *isochrone_domain::RunId::random().as_bytes();
        Ok(self.house.submissions.run_now(&House::operator(), task.id, nonce).await?.id)
    }
}
