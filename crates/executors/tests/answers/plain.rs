//! Plain HTTP ([http_jobs]), as GitHub, Azure, Airflow, Argo, Jenkins, FME, openEO, actinia and others answer.

use isochrone_domain::Reason;

use crate::row::{End, Protocol, Row};
use crate::server::{Reply, cut, json, json_with, page, reply};

const FAILED: End = End::Failed(Reason::ExecutionError);
const LOST: End = End::Failed(Reason::SubmissionUnknown);
const CANCELLED: End = End::Failed(Reason::Cancelled);
const REFUSED: End = End::SubmitFailed(Reason::BadInput);

fn row(name: &'static str) -> Row {
    Row::new(Protocol::Plain, name)
}

fn begun(name: &'static str) -> Row {
    row(name).submit([reply(202, &["Location: /api/jobs/7"], "")])
}

fn done() -> [Reply; 1] {
    [json(200, r#"{"status":"succeeded","result":{"pages":3}}"#)]
}

pub(crate) fn rows() -> Vec<Row> {
    [beginnings(), at_once(), states()].into_iter().flatten().collect()
}

fn beginnings() -> Vec<Row> {
    let ok = |row: Row| row.look(done()).ends(End::Succeeded, "\"pages\":3");
    let body = |name, status, body: &str| ok(row(name).submit([json(status, body)]));
    vec![
        ok(begun("plain: 202 and Location")),
        ok(row("plain: 201 and Location").submit([reply(201, &["Location: /api/jobs/7"], "{}")])),
        ok(row("plain: 200 and Location").submit([reply(
            200,
            &["Location: /api/jobs/7"],
            r#"{"status":"succeeded"}"#,
        )])),
        ok(row("plain: 303 to a job").submit([reply(303, &["Location: /api/jobs/7"], "")])),
        ok(row("plain: 303 to a queue").submit([reply(303, &["Location: /api/queue/item/7"], "")])),
        ok(row("plain: a Location behind a proxy").submit([reply(
            202,
            &["Location: http://10.255.255.1:8080/jobs/7"],
            "",
        )])),
        ok(row("plain: Operation-Location").submit([reply(
            202,
            &["Operation-Location: SERVER/api/operations/7"],
            "",
        )])),
        ok(row("plain: Azure-AsyncOperation").submit([reply(
            201,
            &["Azure-AsyncOperation: /api/operations/7"],
            r#"{"properties":{"provisioningState":"Creating"}}"#,
        )])),
        body("plain: 201, an id", 201, r#"{"id":"7"}"#),
        body("plain: 202, jobID", 202, r#"{"jobID":"7"}"#),
        body("plain: 200, running, an id", 200, r#"{"status":"running","jobId":7}"#),
        body("plain: 200, statusUrl", 200, r#"{"status":"queued","statusUrl":"/api/jobs/7"}"#),
        body("plain: 200, success, jobId", 202, r#"{"status":"success","jobId":"7"}"#),
        body("plain: 200, wrapped", 200, r#"{"data":{"id":"7","status":"pending"}}"#),
        body("plain: 202, HAL", 202, r#"{"_links":{"self":{"href":"/api/jobs/7"}}}"#),
        body("plain: FME", 202, r#"{"id":7,"status":"SUBMITTED"}"#),
        ok(row("plain: 504, then 202")
            .submit([page(504, "<html>x</html>"), reply(202, &["Location: /api/jobs/7"], "")]))
        .submitted(2),
        ok(row("plain: 504, at work, then 202").submit([
            page(504, "<html>x</html>"),
            json(409, r#"{"message":"in progress"}"#),
            reply(202, &["Location: /api/jobs/7"], ""),
        ]))
        .submitted(3),
        ok(row("plain: 503, then 202")
            .submit([reply(503, &["Retry-After: 1"], ""), reply(202, &["Location: /api/jobs/7"], "")]))
        .submitted(2),
        ok(row("plain: 201, a bare id").submit([reply(201, &["Content-Type: text/plain"], "7f3c-42")])),
        ok(row("plain: 202, a bare number").submit([json(202, "7")])),
        row("plain: 202, words")
            .submit([reply(202, &["Content-Type: text/plain"], "Thank you, we are on it.")])
            .ends(LOST, "we are on it"),
        row("plain: 202, a list").submit([json(202, "[1,2]")]).ends(LOST, "202"),
        row("plain: 303 to what came of it")
            .submit([reply(303, &["Location: /api/results/7"], "")])
            .results([json(200, r#"{"pages":3}"#)])
            .ends(End::Succeeded, "\"pages\":3"),
        row("plain: 200, its end, and a Location that is not there")
            .submit([json_with(
                200,
                &["Location: /api/jobs/7"],
                r#"{"status":"succeeded","result":{"pages":3}}"#,
            )])
            .look([json(404, "{}")])
            .ends(End::Succeeded, "\"pages\":3"),
        row("plain: 200, its failure, and a Location that is not there")
            .submit([json_with(
                200,
                &["Location: /api/jobs/7"],
                r#"{"status":"failed","result":"no pages"}"#,
            )])
            .look([json(404, "{}")])
            .ends(FAILED, "no pages"),
        row("plain: 200, no word, and a Location that is not there")
            .submit([json_with(200, &["Location: /api/jobs/7"], "{}")])
            .look([json(404, r#"{"message":"No such job."}"#)])
            .ends(LOST, "No such job."),
        row("plain: 202, nothing").submit([reply(202, &[], "")]).ends(LOST, "nothing that finds it again"),
        row("plain: 201, nothing").submit([reply(201, &[], "")]).ends(LOST, "201"),
        row("plain: 200, running, no id")
            .submit([json(200, r#"{"status":"running"}"#)])
            .ends(LOST, "running"),
        row("plain: 200, an unknown status")
            .submit([json(200, r#"{"status":"reticulating"}"#)])
            .ends(LOST, "reticulating"),
        row("plain: 200, a page")
            .submit([page(200, "<html><title>Maintenance</title></html>")])
            .ends(LOST, "Maintenance"),
        row("plain: 200, half a document").submit([json(200, r#"{"status": "succ"#)]).ends(LOST, "succ"),
        row("plain: 200, cut").submit([cut(200, &[], "{\"status\":")]).ends(LOST, "incomplete"),
        row("plain: 200, 'RUNNING'")
            .submit([reply(200, &["Content-Type: text/plain"], "RUNNING")])
            .ends(LOST, "RUNNING"),
        row("plain: 400").submit([json(400, r#"{"message":"No workbook."}"#)]).ends(REFUSED, "No workbook."),
        row("plain: 401, the token in it")
            .submit([json(401, r#"{"message":"a-token is not good"}"#)])
            .ends(End::SubmitFailed(Reason::NotAllowed), "(hidden) is not good"),
        row("plain: 409 at first")
            .submit([json(409, r#"{"message":"There is one."}"#)])
            .ends(REFUSED, "There is one."),
        row("plain: 500 with words")
            .submit([json(500, r#"{"message":"It broke."}"#)])
            .ends(End::SubmitFailed(Reason::BackendUnavailable), "It broke."),
        row("plain: 302").submit([reply(302, &["Location: /login"], "")]).ends(REFUSED, "/login"),
        row("plain: 308")
            .submit([reply(308, &["Location: https://example.com/api/jobs"], "")])
            .ends(REFUSED, "example.com"),
        row("plain: 200 with ArcGIS's error")
            .submit([json(200, r#"{"error":{"code":498,"message":"Invalid token."}}"#)])
            .ends(End::SubmitFailed(Reason::NotAllowed), "Invalid token."),
        row("plain: 200, success false")
            .submit([json(200, r#"{"success":false,"message":"No workbook."}"#)])
            .ends(REFUSED, "No workbook."),
        row("plain: 200 with errors")
            .submit([json(200, r#"{"errors":[{"title":"Bad","detail":"No workbook."}]}"#)])
            .ends(REFUSED, "No workbook."),
    ]
}

fn at_once() -> Vec<Row> {
    let sync = |name, body: &str, end, told| row(name).submit([json(200, body)]).ends(end, told);
    vec![
        row("plain: 200, nothing").submit([reply(200, &[], "")]),
        row("plain: 204").submit([reply(204, &[], "")]),
        sync("plain: 200, ok", r#"{"status":"ok"}"#, End::Succeeded, ""),
        sync(
            "plain: 200, succeeded",
            r#"{"status":"succeeded","result":"7 pages"}"#,
            End::Succeeded,
            "7 pages",
        ),
        sync("plain: 200, a result", r#"{"result":{"pages":3}}"#, End::Succeeded, "\"pages\":3"),
        sync(
            "plain: 200, an odd progress",
            r#"{"status":"SUCCESS","progress":"all","result":"x"}"#,
            End::Succeeded,
            "x",
        ),
        sync("plain: 200, failed", r#"{"status":"failed","result":"no pages"}"#, FAILED, "no pages"),
        sync("plain: 200, error", r#"{"status":"ERROR","message":{"text":"no pages"}}"#, FAILED, "no pages"),
        sync("plain: 200, cancelled", r#"{"status":"aborted"}"#, CANCELLED, ""),
        row("plain: 200, words")
            .submit([reply(200, &["Content-Type: text/plain"], "7 pages")])
            .ends(End::Succeeded, "7 pages"),
        row("plain: 200, 'OK'")
            .submit([reply(200, &["Content-Type: text/plain"], "OK")])
            .ends(End::Succeeded, "OK"),
        row("plain: 200, a file")
            .submit([reply(200, &["Content-Type: application/pdf"], b"%PDF-1.7\xff")])
            .ends(End::Succeeded, "results.pdf")
            .keeps("results.pdf", "application/pdf", b"%PDF-1.7\xff"),
    ]
}

fn states() -> Vec<Row> {
    let shows =
        |name, first: Reply| begun(name).look([first, done()[0].clone()]).ends(End::Succeeded, "\"pages\":3");
    let ends = |name, last: &str, end, told| begun(name).look([json(200, last)]).ends(end, told);
    vec![
        shows("plain: GitHub's in_progress", json(200, r#"{"status":"in_progress","conclusion":null}"#)),
        shows("plain: Jenkins builds", json(200, r#"{"building":true,"result":null}"#)),
        shows("plain: Argo's phase", json(200, r#"{"status":{"phase":"Running","progress":"1/2"}}"#)),
        shows("plain: Airflow's state", json(200, r#"{"state":"up_for_retry","dag_run_id":"x"}"#)),
        shows("plain: openEO", json(200, r#"{"id":"7","status":"queued","progress":"0"}"#)),
        shows("plain: 202 and nothing", reply(202, &[], "")),
        shows("plain: an operation", json(200, r#"{"name":"operations/7","done":false}"#)),
        shows("plain: an unknown status", json(200, r#"{"status":"reticulating"}"#))
            .logs("'reticulating' is unknown"),
        shows(
            "plain: messages null",
            json(200, r#"{"status":"running","messages":null,"progress":{"percent":"7"}}"#),
        ),
        shows("plain: a passing 404", reply(404, &[], "")),
        shows("plain: a passing page", page(200, "<html><title>Starting</title></html>")),
        shows("plain: a passing 502", page(502, "<html>x</html>")),
        shows("plain: a redirect of a look", reply(302, &["Location: /api/jobs/7/"], "")),
        ends(
            "plain: GitHub's success",
            r#"{"status":"completed","conclusion":"success","result":"7"}"#,
            End::Succeeded,
            "",
        ),
        ends(
            "plain: GitHub's failure",
            r#"{"status":"completed","conclusion":"failure","message":"tests"}"#,
            FAILED,
            "tests",
        ),
        ends("plain: GitHub's cancel", r#"{"status":"completed","conclusion":"cancelled"}"#, CANCELLED, ""),
        ends("plain: Jenkins fails", r#"{"building":false,"result":"FAILURE"}"#, FAILED, "FAILURE"),
        ends(
            "plain: Jenkins succeeds",
            r#"{"building":false,"result":"SUCCESS"}"#,
            End::Succeeded,
            "SUCCESS",
        ),
        ends("plain: Argo succeeds", r#"{"status":{"phase":"Succeeded"}}"#, End::Succeeded, ""),
        ends("plain: Argo's error", r#"{"status":{"phase":"Error","message":"no image"}}"#, FAILED, ""),
        ends(
            "plain: Azure fails",
            r#"{"status":"Failed","error":{"code":"Conflict","message":"No quota."}}"#,
            FAILED,
            "No quota.",
        ),
        ends(
            "plain: an operation fails",
            r#"{"name":"operations/7","done":true,"error":{"code":3,"message":"No quota."}}"#,
            FAILED,
            "No quota.",
        ),
        ends("plain: actinia terminated", r#"{"status":"terminated"}"#, CANCELLED, ""),
        ends("plain: FME fails", r#"{"status":"JOB_FAILURE","message":"No reader."}"#, FAILED, "No reader."),
        ends(
            "plain: numbers as texts",
            r#"{"status":"Succeeded","progress":"100","result":"7"}"#,
            End::Succeeded,
            "7",
        ),
        ends(
            "plain: a result that has a status",
            r#"{"status":"success","result":{"status":"running"}}"#,
            End::Succeeded,
            "running",
        ),
        begun("plain: 202, then what came of it")
            .look([reply(202, &[], ""), json(200, r#"{"pages":3}"#)])
            .ends(End::Succeeded, "\"pages\":3"),
        begun("plain: 202, then 204").look([reply(202, &[], ""), reply(204, &[], "")]),
        ends("plain: a failure with its reason", r#"{"status":"Failed: the disk is full"}"#, FAILED, ""),
        ends(
            "plain: a failure that names an address",
            r#"{"status":"Error: see https://example.com/done"}"#,
            FAILED,
            "",
        ),
        shows("plain: 3 of 10", json(200, r#"{"status":"Completed: 3 of 10"}"#)),
        begun("plain: 303 to what came of it")
            .look([reply(303, &["Location: /api/results/7"], "")])
            .results([json(200, r#"{"pages":3}"#)])
            .ends(End::Succeeded, "\"pages\":3"),
        begun("plain: a redirect elsewhere, then back")
            .look([reply(302, &["Location: http://10.255.255.1:8080/x"], ""), done()[0].clone()])
            .ends(End::Succeeded, "\"pages\":3"),
        begun("plain: 410 for good")
            .look([json(410, r#"{"message":"It is gone."}"#)])
            .ends(LOST, "It is gone."),
        begun("plain: Latin-1")
            .look([reply(
                200,
                &["Content-Type: application/json; charset=ISO-8859-1"],
                b"{\"status\":\"failed\",\"result\":\"Fl\xe4che\"}",
            )])
            .ends(FAILED, "Fl\u{e4}che"),
    ]
}
