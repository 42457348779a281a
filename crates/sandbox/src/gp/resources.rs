//! The resources below a simulated GIS server's `rest/services`. As on a real one, each answers GET and POST.

use serde_json::{Value, json};

use super::jobs::{Jobs, NO_JOB};
use super::tools::Tool;
use crate::answers::Refused;
use crate::asked::Asked;

/// What a server of this release calls itself.
const VERSION: f64 = 11.3;

/// A geoprocessing service: all its tasks run as jobs, or none.
struct Service {
    folder: Option<&'static str>,
    name: &'static str,
    synchronous: bool,
    tools: &'static [(&'static str, Tool)],
}

const TOOLS: Service = Service {
    folder: None,
    name: "Tools",
    synchronous: false,
    tools: &[
        ("Buffer", Tool::Buffer),
        ("Slow", Tool::Slow),
        ("Stubborn", Tool::Stubborn),
        ("Broken", Tool::Broken),
        ("Silent", Tool::Silent),
        ("Overlong", Tool::Overlong),
        ("Novel", Tool::Novel),
        ("Late", Tool::Late),
    ],
};
const AT_ONCE: Service =
    Service { folder: None, name: "AtOnce", synchronous: true, tools: &[("Instant", Tool::Instant)] };
const COOKS: Service = Service {
    folder: Some("System"),
    name: "SceneCachingControllers",
    synchronous: false,
    tools: &[("Manage Scene Cache", Tool::Cook)],
};
const SERVICES: [Service; 3] = [TOOLS, AT_ONCE, COOKS];

/// Where the task is, below `rest/services`; a task that there is not would be among the tools.
pub(super) fn path_of(task: &str) -> String {
    let known = SERVICES.iter().find(|service| service.tool(task).is_some());
    format!("{}/GPServer/{task}", known.unwrap_or(&TOOLS).full_name())
}

pub(super) fn answer(jobs: &mut Jobs, asked: &Asked) -> Result<Value, Refused> {
    let path: Vec<&str> = asked.path.iter().map(String::as_str).collect();
    if let [] | ["System"] = path[..] {
        return Ok(catalog(path.first().copied()));
    }
    let below = |service: &'static Service| service.strip(&path).map(|below| (service, below.to_vec()));
    let (service, path) = SERVICES.iter().find_map(below).ok_or(Refused(404, "Service not found."))?;
    let Some((name, path)) = path.split_first() else { return Ok(service.describe()) };
    let tool = service.tool(name).ok_or(Refused(404, "Task not found."))?;
    match *path {
        [] => Ok(json!({
            "name": name.replace(' ', ""), "displayName": name, "description": "", "category": "", "helpUrl": "",
            "executionType": service.execution_type(),
            "parameters": tool.parameters().iter().map(super::parameters::Parameter::describe).collect::<Value>(),
        })),
        ["execute"] if service.synchronous => tool.execute(asked),
        ["execute"] => Err(Refused(400, "The task is asynchronous.")),
        ["submitJob"] if service.synchronous => Err(Refused(400, "The task is synchronous.")),
        ["submitJob"] => Ok(jobs.submit(tool, name, asked)),
        ["jobs", id] => jobs.show(id, asked).ok_or(NO_JOB),
        ["jobs", id, "cancel"] => jobs.cancel(id),
        ["jobs", id, "results"] => jobs.results(id),
        ["jobs", id, "results", result] => jobs.result(id, result),
        ["jobs", id, "inputs"] => jobs.inputs(id).map(Value::Array),
        ["jobs", id, "inputs", input] => jobs.input(id, input),
        _ => Err(Refused(404, "There is no such resource or operation.")),
    }
}

/// The services at the top, or of a folder.
fn catalog(folder: Option<&str>) -> Value {
    let listed = SERVICES.iter().filter(|service| service.folder == folder);
    let services: Vec<Value> =
        listed.map(|service| json!({"name": service.full_name(), "type": "GPServer"})).collect();
    let folders: &[&str] = if folder.is_none() { &["System"] } else { &[] };
    json!({"currentVersion": VERSION, "folders": folders, "services": services})
}

impl Service {
    fn full_name(&self) -> String {
        self.folder.iter().chain([&self.name]).copied().collect::<Vec<_>>().join("/")
    }

    /// The rest of a path to something of this service.
    fn strip<'a, 'b>(&self, path: &'a [&'b str]) -> Option<&'a [&'b str]> {
        let path = match self.folder {
            Some(folder) => path.strip_prefix(&[folder])?,
            None => path,
        };
        path.strip_prefix(&[self.name, "GPServer"])
    }

    fn tool(&self, name: &str) -> Option<Tool> {
        self.tools.iter().find(|(known, _)| *known == name).map(|(_, tool)| *tool)
    }

    fn execution_type(&self) -> &'static str {
        if self.synchronous { "esriExecutionTypeSynchronous" } else { "esriExecutionTypeAsynchronous" }
    }

    fn describe(&self) -> Value {
        let tasks: Vec<&str> = self.tools.iter().map(|(name, _)| *name).collect();
        json!({
            "currentVersion": VERSION, "serviceDescription": "", "tasks": tasks,
            "executionType": self.execution_type(), "resultMapServerName": "", "maximumRecords": 1000,
            "capabilities": "",
        })
    }
}
