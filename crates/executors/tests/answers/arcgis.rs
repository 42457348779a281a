//! ArcGIS's own servers: geoprocessing, Notebook Server, Workflow Manager, reports of a portal, and proxies and web
//! adaptors in front of them.

use isochrone_domain::Reason;

use crate::row::{End, Protocol, Row};
use crate::server::{Asked, Reply, cut, json, page, reply};

const FAILED: End = End::Failed(Reason::ExecutionError);
const LOST: End = End::Failed(Reason::SubmissionUnknown);
const CANCELLED: End = End::Failed(Reason::Cancelled);
const REFUSED: End = End::SubmitFailed(Reason::BadInput);

pub(crate) fn rows() -> Vec<Row> {
    [geoprocessing(), geoprocessing_states(), notebooks(), workflows(), reports()]
        .into_iter()
        .flatten()
        .collect()
}

fn gp(name: &'static str) -> Row {
    Row::new(Protocol::Geoprocessing, name)
        .answers(Asked::Describe, [json(200, r#"{"executionType":"esriExecutionTypeAsynchronous"}"#)])
}

fn gp_done() -> [Reply; 1] {
    [json(
        200,
        r#"{"jobId":"j7","jobStatus":"esriJobSucceeded","results":{"out":{"paramUrl":"results/out"}},"messages":[]}"#,
    )]
}

fn geoprocessing() -> Vec<Row> {
    let value = || [json(200, r#"{"paramName":"out","dataType":"GPString","value":"seven"}"#)];
    let ok = |row: Row| row.look(gp_done()).results(value()).ends(End::Succeeded, "seven");
    let body = |name, body: &str| ok(gp(name).submit([json(200, body)]));
    let not = |name, reply: Reply, end, told| gp(name).submit([reply]).ends(end, told);
    vec![
        body("GP: as it should be", r#"{"jobId":"j7","jobStatus":"esriJobSubmitted"}"#),
        body("GP: no jobStatus", r#"{"jobId":"j7"}"#),
        body("GP: a number as jobId", r#"{"jobId":7,"jobStatus":"esriJobSubmitted"}"#),
        body(
            "GP: an odd progress",
            r#"{"jobId":"j7","jobStatus":"esriJobNew","progress":"none","messages":null,"results":[]}"#,
        ),
        body("GP: JobID", r#"{"JobID":"j7","JobStatus":"esriJobSubmitted"}"#),
        body("GP: wrapped", r#"{"job":{"jobId":"j7"}}"#),
        ok(gp("GP: with a mark").submit([reply(
            200,
            &["Content-Type: text/plain;charset=utf-8"],
            b"\xef\xbb\xbf{\"jobId\":\"j7\"}",
        )])),
        ok(gp("GP: 201 and Location").submit([reply(
            201,
            &["Location: SERVER/server/rest/services/S/GPServer/T/jobs/j7"],
            "",
        )])),
        ok(gp("GP: 302 to the job").submit([reply(
            302,
            &["Location: /server/rest/services/S/GPServer/T/jobs/j7?f=json"],
            "",
        )])),
        ok(gp("GP: 504, then a job").submit([page(504, "<html>x</html>"), json(200, r#"{"jobId":"j7"}"#)]))
            .submitted(2),
        ok(gp("GP: busy, then a job")
            .submit([reply(503, &["Retry-After: 1"], ""), json(200, r#"{"jobId":"j7"}"#)]))
        .submitted(2),
        ok(gp("GP: busy in ArcGIS's way, then a job").submit([
            json(200, r#"{"error":{"code":503,"message":"Busy."}}"#),
            json(200, r#"{"jobId":"j7"}"#),
        ]))
        .submitted(2),
        not("GP: 204", reply(204, &[], ""), LOST, "204"),
        not("GP: no id", json(200, r#"{"jobStatus":"esriJobSubmitted"}"#), LOST, "esriJobSubmitted"),
        not(
            "GP: results at once",
            json(200, r#"{"results":[{"paramName":"out","value":7}],"messages":[]}"#),
            LOST,
            "results",
        ),
        not("GP: an id that climbs", json(200, r#"{"jobId":"../../../admin"}"#), LOST, "admin"),
        not(
            "GP: a page of the web adaptor",
            page(200, "<html><title>ArcGIS Web Adaptor</title></html>"),
            LOST,
            "Web Adaptor",
        ),
        ok(gp("GP: half a document").submit([json(200, r#"{"jobId": "j7", "jobSta"#)])),
        not("GP: half an id", json(200, r#"{"jobId": "j"#), LOST, "jobId"),
        not("GP: cut", cut(200, &[], "{\"jobId\":"), LOST, "incomplete"),
        not(
            "GP: 400 in the body",
            json(
                200,
                r#"{"error":{"code":400,"message":"Unable to complete operation.","details":["Parameter 'in' is required."]}}"#,
            ),
            REFUSED,
            "'in' is required",
        ),
        not(
            "GP: 499",
            json(200, r#"{"error":{"code":499,"message":"Token Required","details":[]}}"#),
            End::SubmitFailed(Reason::NotAllowed),
            "Token Required",
        ),
        not(
            "GP: 500 in the body",
            json(200, r#"{"error":{"code":500,"message":"Error submitting job.","details":[]}}"#),
            End::SubmitFailed(Reason::BackendUnavailable),
            "Error submitting job.",
        ),
        not(
            "GP: 500 with an error",
            json(500, r#"{"error":{"code":500,"message":"Error submitting job."}}"#),
            End::SubmitFailed(Reason::BackendUnavailable),
            "Error submitting job.",
        ),
        not(
            "GP: failed at once",
            json(
                200,
                r#"{"jobStatus":"esriJobFailed","messages":[{"type":"esriJobMessageTypeError","description":"ERROR 000732"}]}"#,
            ),
            REFUSED,
            "ERROR 000732",
        ),
        not("GP: 301", reply(301, &["Location: https://example.com/x"], ""), REFUSED, "example.com"),
        not(
            "GP: 403 of a proxy",
            page(403, "<html><title>Forbidden</title></html>"),
            End::SubmitFailed(Reason::NotAllowed),
            "Forbidden",
        ),
        gp("GP: no answer for good").submit([Reply::Nothing]).ends(LOST, "unknown").submitted(3),
    ]
}

fn geoprocessing_states() -> Vec<Row> {
    let begun = |name| gp(name).submit([json(200, r#"{"jobId":"j7","jobStatus":"esriJobSubmitted"}"#)]);
    let value = || [json(200, r#"{"dataType":"GPString","value":"seven"}"#)];
    let shows = |name, first: Reply| {
        begun(name).look([first, gp_done()[0].clone()]).results(value()).ends(End::Succeeded, "seven")
    };
    let ends = |name, last: &str, end, told| begun(name).look([json(200, last)]).ends(end, told);
    vec![
        shows("GP: progress in a text", json(200, r#"{"jobId":"j7","jobStatus":"esriJobExecuting","progress":{"percent":"45","message":null}}"#)),
        shows("GP: progress -1", json(200, r#"{"jobId":"j7","jobStatus":"esriJobExecuting","progress":-1,"messages":null}"#)),
        shows("GP: messages of odd types", json(200, r#"{"jobId":"j7","jobStatus":"esriJobExecuting","messages":[null,"x",{"type":7},{"description":{}}]}"#)),
        shows("GP: a number as the id", json(200, r#"{"jobId":7,"jobStatus":"ESRIJOBEXECUTING","results":"none"}"#)),
        shows("GP: an unknown status", json(200, r#"{"jobId":"j7","jobStatus":"esriJobReticulating"}"#)).logs("'esriJobReticulating' is unknown"),
        shows("GP: a passing 404", json(200, r#"{"error":{"code":404,"message":"Job not found."}}"#)),
        shows("GP: a passing 400", json(200, r#"{"error":{"code":400,"message":"Invalid job."}}"#)),
        shows("GP: a passing 403", json(200, r#"{"error":{"code":403,"message":"No."}}"#)),
        shows("GP: a passing page", page(200, "<html><title>ArcGIS is starting</title></html>")),
        shows("GP: a passing 502", page(502, "<html>x</html>")),
        shows("GP: Latin-1", reply(200, &["Content-Type: application/json"], b"{\"jobId\":\"j7\",\"jobStatus\":\"esriJobExecuting\",\"messages\":[{\"description\":\"Fl\xe4che\"}]}")).logs("Fl\u{e4}che"),
        ends("GP: an error", r#"{"jobId":"j7","jobStatus":"esriJobFailed","messages":[{"type":"esriJobMessageTypeError","description":"ERROR 000732"}]}"#, FAILED, "ERROR 000732"),
        ends("GP: an abort", r#"{"jobId":"j7","jobStatus":"esriJobFailed","messages":[{"type":"esriJobMessageTypeAbort","description":"Aborted by the tool."}]}"#, FAILED, "Aborted by the tool."),
        ends("GP: a warning", r#"{"jobId":"j7","jobStatus":"esriJobFailed","messages":[{"type":"esriJobMessageTypeWarning","description":"Empty output."}]}"#, FAILED, "Empty output."),
        ends("GP: failed, messages null", r#"{"jobId":"j7","jobStatus":"esriJobFailed","messages":null,"message":"No data."}"#, FAILED, "No data."),
        ends("GP: failed, an error object", r#"{"jobId":"j7","jobStatus":"esriJobFailed","error":{"code":500,"message":"No data."}}"#, FAILED, "No data."),
        ends("GP: timed out", r#"{"jobId":"j7","jobStatus":"esriJobTimedOut","messages":[]}"#, End::Failed(Reason::Timeout), "longer than it allows"),
        ends("GP: cancelled", r#"{"jobId":"j7","jobStatus":"esriJobCancelled"}"#, CANCELLED, "cancelled"),
        ends("GP: 'Failed'", r#"{"jobId":"j7","status":"Failed","message":"No data."}"#, FAILED, "No data."),
        begun("GP: results in a list").look([json(200, r#"{"jobId":"j7","jobStatus":"succeeded","results":[{"paramName":"out"}]}"#)]).results(value()).ends(End::Succeeded, "seven"),
        begun("GP: a result that can't be read").look(gp_done()).results([page(500, "<html>x</html>")]).ends(End::Succeeded, "can't be read"),
        begun("GP: a result that is late").look(gp_done()).results([json(404, "{}"), value()[0].clone()]).ends(End::Succeeded, "seven"),
        begun("GP: no results").look([json(200, r#"{"jobId":"j7","jobStatus":"esriJobSucceeded","results":null}"#)]).ends(End::Succeeded, "\"outputs\":{}"),
        begun("GP: gone for good").look([json(200, r#"{"error":{"code":400,"message":"Job j7 not found."}}"#)]).ends(LOST, "Job j7 not found."),
    ]
}

fn notebooks() -> Vec<Row> {
    let row = |name| Row::new(Protocol::Notebook, name);
    let done = || [json(200, r#"{"jobId":"j7","status":"COMPLETED","messages":null}"#)];
    let ok = |row: Row| row.look(done()).ends(End::Succeeded, "/nb/admin/system/jobs/j7");
    let body = |name, body: &str| ok(row(name).submit([json(200, body)]));
    let begun = |name| {
        row(name).submit([json(
            200,
            r#"{"status":"success","jobId":"j7","jobUrl":"SERVER/nb/admin/system/jobs/j7"}"#,
        )])
    };
    let not = |name, reply: Reply, end, told| row(name).submit([reply]).ends(end, told);
    vec![
        ok(begun("notebook: as it should be")),
        body(
            "notebook: a jobUrl behind a proxy",
            r#"{"status":"success","jobUrl":"https://nb.internal:11443/arcgis/admin/system/jobs/j7"}"#,
        ),
        body("notebook: a relative jobUrl", r#"{"status":"success","jobUrl":"/nb/admin/system/jobs/j7"}"#),
        body("notebook: a jobId alone", r#"{"status":"success","jobId":"j7"}"#),
        body("notebook: a jobUrl that is null", r#"{"status":"success","jobId":"j7","jobUrl":null}"#),
        row("notebook: nothing, found by the run")
            .submit([json(200, r#"{"status":"success"}"#)])
            .ends(LOST, "nothing that finds it again"),
        not(
            "notebook: an error",
            json(200, r#"{"status":"error","messages":["The item does not exist."],"code":404}"#),
            REFUSED,
            "The item does not exist.",
        ),
        not("notebook: a page", page(200, "<html><title>Sign In</title></html>"), LOST, "Sign In"),
        not("notebook: 202, nothing", reply(202, &[], ""), LOST, "202"),
        ok(row("notebook: busy, then a job")
            .submit([reply(429, &["Retry-After: 1"], ""), json(200, r#"{"jobId":"j7"}"#)]))
        .submitted(2),
        begun("notebook: executing")
            .look([
                json(200, r#"{"jobId":"j7","status":"EXECUTING","messages":"one","progress":-1}"#),
                done()[0].clone(),
            ])
            .ends(End::Succeeded, "notebookServer"),
        begun("notebook: failed")
            .look([json(200, r#"{"jobId":"j7","status":"FAILED","messages":[{"message":"NameError: x"}]}"#)])
            .ends(FAILED, "NameError: x"),
        begun("notebook: cancelled")
            .look([json(
                200,
                r#"{"jobId":"j7","status":"FAILED","customAttributes":{"isCancelled":"true"}}"#,
            )])
            .ends(CANCELLED, "cancelled"),
        begun("notebook: a passing 404")
            .look([
                json(200, r#"{"status":"error","messages":["No such job."],"code":404}"#),
                done()[0].clone(),
            ])
            .ends(End::Succeeded, "j7"),
        begun("notebook: 'Disabled'")
            .look([json(200, r#"{"jobId":"j7","status":"Disabled"}"#)])
            .ends(CANCELLED, "cancelled"),
        begun("notebook: 'Paused', then 'Completed'")
            .look([
                json(200, r#"{"jobId":"j7","status":"Paused"}"#),
                json(200, r#"{"jobId":"j7","status":"Completed"}"#),
            ])
            .ends(End::Succeeded, "j7"),
    ]
}

fn workflows() -> Vec<Row> {
    let row = |name| Row::new(Protocol::Workflow, name);
    let not = |name, reply: Reply, end, told| row(name).submit([reply]).ends(end, told);
    let steps = r#"{"jobTemplateId":"t","wait":"closed"}"#;
    vec![
        row("workflow: an id of its own").submit([json(200, r#"{"jobIds":["w7"]}"#)]).ends(End::Succeeded, "/jobs/w7"),
        row("workflow: a number").submit([json(201, r#"{"jobIds":[7]}"#)]).ends(End::Succeeded, "/jobs/7"),
        row("workflow: jobId").submit([json(200, r#"{"jobId":"w7","success":true}"#)]).ends(End::Succeeded, "/jobs/w7"),
        row("workflow: a list of jobs").submit([json(200, r#"{"jobs":[{"jobId":"w7"}]}"#)]).ends(End::Succeeded, "/jobs/w7"),
        row("workflow: Location").submit([reply(201, &["Location: /server/workflow/i/jobs/w7"], "")]).ends(End::Succeeded, "/jobs/w7"),
        row("workflow: nothing, but there is a job").submit([reply(201, &[], "")]).look([json(200, r#"{"jobName":"A job","closed":false}"#)]).ends(End::Succeeded, "jobIds"),
        row("workflow: 204, and no job").submit([reply(204, &[], "")]).look([json(400, r#"{"error":{"message":"The job does not exist."}}"#)]).ends(LOST, "204"),
        not("workflow: an error", json(400, r#"{"error":{"code":400,"message":"The template does not exist."}}"#), REFUSED, "The template does not exist."),
        not("workflow: a page, and no job", page(200, "<html><title>Sign In</title></html>"), LOST, "Sign In"),
        row("workflow: 504, then it is there").submit([page(504, "<html>x</html>")]).look([json(200, r#"{"jobName":"A job"}"#)]).ends(End::Succeeded, "jobIds"),
        row("workflow: orders are given once").with(steps).submit([json(200, r#"{"jobIds":["w7"]}"#)])
            .look([json(200, r#"{"jobId":"w7","closed":false,"currentSteps":[{"stepId":"s","stepName":"S","stepStatus":"Running"}],"percentComplete":"7"}"#), json(200, r#"{"jobId":"w7","closed":false,"currentSteps":{"stepId":"s"}}"#), json(200, r#"{"jobId":"w7","closed":"true","currentSteps":null}"#)])
            .ends(End::Succeeded, "w7").steered(1),
        row("workflow: a person is needed").with(steps).submit([json(200, r#"{"jobIds":["w7"]}"#)])
            .look([json(200, r#"{"jobId":"w7","closed":null,"currentSteps":[{"stepId":"s","stepName":"S","stepStatus":"InfoRequired"}],"percentComplete":-1}"#)])
            .ends(FAILED, "needs a person"),
    ]
}

fn reports() -> Vec<Row> {
    let row = |name| {
        Row::new(Protocol::PortalReport, name).results([reply(
            200,
            &["Content-Type: text/csv"],
            "a,b\n1,2\n",
        )])
    };
    let begun = |name| row(name).submit([json(200, r#"{"success":true,"itemId":"abc"}"#)]);
    let completed = || json(200, r#"{"status":"completed","statusMessage":"","itemId":"abc"}"#);
    let ok = |row: Row| row.look([completed()]).ends(End::Succeeded, "\"itemId\":\"abc\"");
    let not = |name, reply: Reply, end, told| row(name).submit([reply]).ends(end, told);
    vec![
        ok(begun("report: as it should be")),
        ok(row("report: processing, an itemId")
            .submit([json(200, r#"{"status":"processing","itemId":"abc"}"#)])),
        ok(row("report: an item").submit([json(200, r#"{"item":{"id":"abc"},"success":true}"#)])),
        ok(row("report: 504, then an item")
            .submit([page(504, "<html>x</html>"), json(200, r#"{"itemId":"abc"}"#)]))
        .submitted(2),
        not("report: success, no item", json(200, r#"{"success":true}"#), LOST, "success"),
        not(
            "report: success is false",
            json(200, r#"{"success":false,"error":{"message":"No report."}}"#),
            REFUSED,
            "No report.",
        ),
        not("report: 302", reply(302, &["Location: /portal/signin"], ""), REFUSED, "signin"),
        not(
            "report: a page",
            page(200, "<html><title>Portal for ArcGIS is starting</title></html>"),
            LOST,
            "starting",
        ),
        begun("report: 'Active', then 'Completed'")
            .look([json(200, r#"{"status":"Active"}"#), json(200, r#"{"status":"Completed"}"#)])
            .ends(End::Succeeded, "abc"),
        begun("report: 'Failed'")
            .look([json(200, r#"{"status":"Failed","statusMessage":"No data.","itemId":"abc"}"#)])
            .ends(FAILED, "No data."),
        begun("report: an item that is not seen yet")
            .look([json(200, r#"{"error":{"code":400,"message":"Item does not exist."}}"#), completed()])
            .ends(End::Succeeded, "abc"),
        begun("report: a status in an object")
            .look([json(200, r#"{"status":"partial","statusMessage":{"code":1}}"#), completed()])
            .ends(End::Succeeded, "abc"),
        begun("report: data that can't be read")
            .look([completed()])
            .results([page(500, "<html>x</html>")])
            .ends(End::Succeeded, "can't be read"),
        begun("report: data that is empty")
            .look([completed()])
            .results([reply(200, &[], "")])
            .ends(End::Succeeded, "empty"),
    ]
}
