//! The demo's tasks: one of each type.

use isochrone_domain::{CronFields, OverlapPolicy, Policies, Submission, TaskType};
use isochrone_sandbox::SimulatedGpServer;
use serde_json::json;

use super::NOTEBOOK;

/// What the sample tasks are; the notebook's is the first.
pub(super) fn all(gis: &SimulatedGpServer) -> Vec<Submission> {
    let points: Vec<_> = [[13.4, 52.5], [2.35, 48.85], [-0.13, 51.5]]
        .iter()
        .map(|[x, y]| json!({"geometry": {"x": x, "y": y}, "attributes": {}}))
        .collect();
    let buffer = json!({
        "Input_Features": {"geometryType": "esriGeometryPoint", "features": points},
        "Distance": {"distance": 1, "units": "esriMeters"},
    });
    let scene =
        json!({"service_url": format!("{}/rest/services/Hosted/City/SceneServer", gis.url()), "layer": "{}"});
    let every_minute = sample("Demo: a small chart, every minute", TaskType::ExecuteNotebook, ["*/1", "*"]);
    let notebook =
        json!({"notebookParameters": {"steps": 60, "label": "metres"}, "saveInjectedParameters": true});
    let report = json!({
        "reportType": "org", "reportSubType": "activity", "timeDuration": "daily", "title": "Activity",
    });
    vec![
        Submission { parameters: Some(notebook.to_string()), ..every_minute },
        Submission {
            parameters: Some(buffer.to_string()),
            task_url: Some(gis.task("Buffer")),
            ..sample("Demo: a buffer around three points, every 5 minutes", TaskType::GPService, ["*/5", "*"])
        },
        Submission {
            parameters: Some(scene.to_string()),
            ..sample("Demo: a scene's cache, every hour", TaskType::ExecuteSceneCook, ["0", "*"])
        },
        Submission {
            parameters: Some(json!({"jobTemplateId": "two-steps", "wait": "closed"}).to_string()),
            ..sample(
                "Demo: a workflow of two steps, every hour",
                TaskType::ExecuteWorkflowManager,
                ["0", "*"],
            )
        },
        Submission {
            parameters: Some(json!({"seconds": 5}).to_string()),
            ..sample("Demo: a workbook, every hour", TaskType::UpdateInsightsWorkbook, ["0", "*"])
        },
        Submission {
            parameters: Some(report.to_string()),
            item_id: None,
            ..sample("Demo: yesterday's activity, every day at 03:00", TaskType::ExecuteReport, ["0", "3"])
        },
    ]
}

fn sample(title: &str, kind: TaskType, [minute, hour]: [&str; 2]) -> Submission {
    let [minute, hour, any, none] = [minute, hour, "*", "?"].map(str::to_owned);
    Submission {
        title: title.to_owned(),
        kind,
        item_id: Some(NOTEBOOK),
        task_url: None,
        parameters: None,
        cron: CronFields { minute, hour, day_of_month: any.clone(), month: any, day_of_week: none },
        start: None,
        end: None,
        max_occurrences: None,
        policies: Policies { overlap: OverlapPolicy::Skip, ..Policies::default() },
    }
}
