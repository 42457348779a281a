//! `up --demo`: a sample notebook every minute, a daily report, and the story as it happens.

mod story;

use std::net::SocketAddr;

use anyhow::Result;
use isochrone_domain::{CronFields, ItemId, OverlapPolicy, Policies, Submission, Task, TaskType};
use isochrone_store::{Page, TaskFilter};
use tokio_util::sync::CancellationToken;

use crate::commands::item::add_notebook;
use crate::wiring::House;

/// The same at each start, so that a second one adds no second notebook.
const NOTEBOOK: ItemId = ItemId::from_bytes(*b"isochrone-demo-1");
const NOTEBOOK_SOURCE: &str = include_str!("sample.ipynb");
const EVERY_MINUTE: &str = "Demo: a small chart, every minute";
const DAILY: &str = "Demo: yesterday's activity, every day at 03:00";

/// The demo.
pub(crate) struct Demo<'a> {
    house: &'a House,
    address: SocketAddr,
}

impl<'a> Demo<'a> {
    pub(crate) fn new(house: &'a House, address: SocketAddr) -> Self {
        Demo { house, address }
    }

    /// Adds the samples, then tells what happens until `stop`.
    pub(crate) async fn run(&self, stop: &CancellationToken) -> Result<()> {
        self.introduce();
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            prepared = story::prepare_python(&self.house.python) => prepared?,
        }
        let notebook_task = self.add_samples().await?;
        let run = self.run_once(&notebook_task).await?;
        story::tell(self.house, self.address, &notebook_task, run, stop).await
    }

    fn introduce(&self) {
        println!("Isochrone is up at http://{}/sharing/rest", self.address);
        println!("Everything is kept in {}", self.house.data_dir.display());
        println!("Open it in a browser and sign in as admin to look around. Ctrl-C stops it.\n");
    }

    async fn add_samples(&self) -> Result<Task> {
        let data = NOTEBOOK_SOURCE.as_bytes().to_vec();
        add_notebook(self.house, Some(NOTEBOOK), "Chart of a random walk", None, data).await?;
        let notebook = self.task_once(EVERY_MINUTE, every_minute()).await?;
        self.task_once(DAILY, daily()).await?;
        Ok(notebook)
    }

    /// The sample task of this title; made only where it is missing.
    async fn task_once(&self, title: &str, submission: Submission) -> Result<Task> {
        let operator = House::operator();
        let filter = TaskFilter { owner: Some("admin".to_owned()), ..TaskFilter::default() };
        let tasks =
            self.house.submissions.tasks(&operator, &filter, Page { offset: 0, limit: 1_000 }).await?;
        if let Some(task) = tasks.rows.into_iter().find(|task| task.title == title) {
            return Ok(self.house.submissions.enable(&operator, task.id).await?);
        }
        let submission = Submission { title: title.to_owned(), ..submission };
        Ok(self.house.submissions.create(&operator, "admin", submission).await?)
    }

    /// A first run at once: nobody likes to wait for the next minute.
    async fn run_once(&self, task: &Task) -> Result<isochrone_domain::RunId> {
        let nonce = *isochrone_domain::RunId::random().as_bytes();
        Ok(self.house.submissions.run_now(&House::operator(), task.id, nonce).await?.id)
    }
}

fn every_minute() -> Submission {
    Submission {
        title: String::new(),
        kind: TaskType::ExecuteNotebook,
        item_id: Some(NOTEBOOK),
        task_url: None,
        parameters: Some(
            r#"{"notebookParameters":{"steps":60,"label":"metres"},"saveInjectedParameters":true}"#
                .to_owned(),
        ),
        cron: cron("*/1", "*", "*", "*", "?"),
        start: None,
        end: None,
        max_occurrences: None,
        policies: Policies { overlap: OverlapPolicy::Skip, ..Policies::default() },
    }
}

fn daily() -> Submission {
    Submission {
        kind: TaskType::ExecuteReport,
        item_id: None,
        parameters: Some(
            r#"{"reportType":"org","reportSubType":"activity","timeDuration":"daily","title":"Activity"}"#
                .to_owned(),
        ),
        cron: cron("0", "3", "*", "*", "?"),
        ..every_minute()
    }
}

fn cron(minute: &str, hour: &str, day_of_month: &str, month: &str, day_of_week: &str) -> CronFields {
    CronFields {
        minute: minute.to_owned(),
        hour: hour.to_owned(),
        day_of_month: day_of_month.to_owned(),
        month: month.to_owned(),
        day_of_week: day_of_week.to_owned(),
    }
}
