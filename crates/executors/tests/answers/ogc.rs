//! OGC API - Processes, as pygeoapi, ZOO-Project, deegree, GeoServer, javaPS, ADES and proxies in front of them answer.

use std::time::Duration;

use isochrone_domain::Reason;

use crate::row::{End, Protocol, Row};
use crate::server::{Asked, Reply, cut, json, json_with, page, reply};

const FAILED: End = End::Failed(Reason::ExecutionError);
const LOST: End = End::Failed(Reason::SubmissionUnknown);
const CANCELLED: End = End::Failed(Reason::Cancelled);
const REFUSED: End = End::SubmitFailed(Reason::BadInput);
const UNAVAILABLE: End = End::SubmitFailed(Reason::BackendUnavailable);

const STATUS: &str = r#"{"jobID":"7","type":"process","status":"accepted"}"#;
const EXCEPTION: &str = r#"<?xml version="1.0"?><ows:ExceptionReport xmlns:ows="http://www.opengis.net/ows/1.1"><ows:Exception exceptionCode="NoApplicableCode"><ows:ExceptionText>It broke.</ows:ExceptionText></ows:Exception></ows:ExceptionReport>"#;

fn row(name: &'static str) -> Row {
    Row::new(Protocol::Ogc, name)
}

/// A job that was begun as it should be.
fn begun(name: &'static str) -> Row {
    row(name).submit([reply(201, &["Location: /ogc/jobs/7", "Content-Type: application/json"], STATUS)])
}

fn done() -> [Reply; 1] {
    [json(200, r#"{"jobID":"7","status":"successful"}"#)]
}

/// A job that runs at the first look and is done at the second.
fn soon(first: &str) -> [Reply; 2] {
    [json(200, first), json(200, r#"{"jobID":"7","status":"successful"}"#)]
}

pub(crate) fn rows() -> Vec<Row> {
    [beginnings(), at_once(), refusals(), states(), results()].into_iter().flatten().collect()
}

/// A job was begun: however its server says where it is.
fn beginnings() -> Vec<Row> {
    let answer = "\"answer\":42";
    let ok = |row: Row| row.look(done()).ends(End::Succeeded, answer);
    let location = |name, line: &'static str| ok(row(name).submit([reply(201, &[line], STATUS)]));
    let body = |name, status, body: &str| ok(row(name).submit([json(status, body)]));
    vec![
        ok(begun("OGC: 201 and Location")),
        location("OGC: 201, a whole Location", "Location: SERVER/ogc/jobs/7"),
        location("OGC: 201, a Location behind a proxy", "Location: http://10.255.255.1:8080/ogc/jobs/7"),
        location("OGC: 201, a Location of https", "Location: https://127.0.0.1/ogc/jobs/7"),
        location("OGC: 201, a Location without the context", "Location: http://pygeoapi:5000/jobs/7"),
        location("OGC: 201, a relative Location", "Location: ../../jobs/7"),
        location("OGC: 201, Operation-Location", "Operation-Location: /ogc/jobs/7"),
        location("OGC: 201, Azure-AsyncOperation", "Azure-AsyncOperation: /ogc/jobs/7?v=1"),
        location("OGC: 201, Link monitor", "Link: </ogc/jobs/7>; rel=\"monitor\""),
        ok(row("OGC: 200 and Location").submit([reply(200, &["Location: /ogc/jobs/7"], STATUS)])),
        ok(row("OGC: 202 and Location, nothing else").submit([reply(202, &["Location: /ogc/jobs/7"], "")])),
        ok(row("OGC: 201, a cut body").submit([cut(201, &["Location: /ogc/jobs/7"], "{\"jobID\"")])),
        ok(row("OGC: 303 to a job").submit([reply(303, &["Location: /ogc/jobs/7"], "")])),
        ok(row("OGC: 302 to a job").submit([reply(302, &["Location: /ogc/jobs/7"], "")])),
        location("OGC: 201, a Location with a query", "Location: /ogc/jobs/7?f=json"),
        location("OGC: 201, a Location of results", "Location: /ogc/jobs/7/results?f=json"),
        location("OGC: 201, Content-Location", "Content-Location: /ogc/jobs/7"),
        location("OGC: 201, a Location for people", "Location: https://ui.example.com/ogc/view/#/7"),
        location("OGC: 201, the Location of the execution", "Location: /ogc/processes/p/execution"),
        ok(row("OGC: 201, a bare id").submit([json(201, "\"7\"")])),
        ok(row("OGC: 201, a bare number as text").submit([reply(201, &["Content-Type: text/plain"], "7\n")])),
        ok(row("OGC: 200 and Location, results beside it, a job there")
            .submit([reply(200, &["Location: /ogc/jobs/7", "Content-Type: application/json"], r#"{"value":7}"#)])),
        row("OGC: 303 to results that are no job's").submit([reply(303, &["Location: /ogc/results/7"], "")])
            .results([json(200, r#"{"value":7}"#)]).ends(End::Succeeded, "\"value\":7"),
        ok(row("OGC: 303 to a job's results").submit([reply(303, &["Location: /ogc/jobs/7/results"], "")])),
        body("OGC: 200, accepted, no Location", 200, STATUS),
        body("OGC: 201, an id alone", 201, r#"{"jobID":"7"}"#),
        body("OGC: 202, an id as a number", 202, r#"{"jobID":7,"status":"accepted"}"#),
        body("OGC: 200, jobId", 200, r#"{"jobId":"7","status":"RUNNING"}"#),
        body("OGC: 202, id", 202, r#"{"id":"7"}"#),
        body("OGC: 201, job_id within data", 201, r#"{"status":"success","data":{"job_id":"7"}}"#),
        body("OGC: 201, a wrapped job", 201, r#"{"job":{"jobID":"7","status":"queued"}}"#),
        body("OGC: 200, a link", 200, r#"{"status":"running","links":[{"rel":"monitor","href":"/ogc/jobs/7"}]}"#),
        body("OGC: 200, an unknown status", 200, r#"{"jobID":"7","status":"reticulating"}"#),
        body("OGC: 200, successful, a job", 200, r#"{"jobID":"7","status":"successful"}"#),
        ok(row("OGC: 200, JSON as text, with a mark").submit([reply(
            200,
            &["Content-Type: text/plain"],
            [b"\xef\xbb\xbf", STATUS.as_bytes()].concat(),
        )])),
        ok(row("OGC: 200, WPS accepts").submit([reply(
            200,
            &["Content-Type: text/xml"],
            r#"<wps:ExecuteResponse xmlns:wps="w" statusLocation="SERVER/ogc/jobs/7"><wps:Status><wps:ProcessAccepted/></wps:Status></wps:ExecuteResponse>"#,
        )])),
        ok(row("OGC: no answer, then 201").submit([Reply::Nothing, reply(201, &["Location: /ogc/jobs/7"], "")])).submitted(2),
        ok(row("OGC: 504, then 201").submit([page(504, "<html>Gateway Timeout</html>"), reply(201, &["Location: /ogc/jobs/7"], "")]))
            .submitted(2),
        ok(row("OGC: 503, then 201").submit([reply(503, &["Retry-After: 1"], ""), reply(201, &["Location: /ogc/jobs/7"], "")]))
            .submitted(2),
        ok(row("OGC: 429, then 201").submit([json(429, r#"{"title":"Too many"}"#), reply(201, &["Location: /ogc/jobs/7"], "")]))
            .submitted(2),
        // It was begun, and has failed: pygeoapi with a manager.
        row("OGC: 400 and the Location of its job")
            .submit([json_with(400, &["Location: /ogc/jobs/7", "Preference-Applied: wait"], r#"{"code":"InvalidParameterValue","description":"Error executing process: no"}"#)])
            .look([json(200, r#"{"jobID":"7","status":"failed","message":"No data."}"#)])
            .ends(FAILED, "No data."),
        // Taken, and nobody knows where it is.
        row("OGC: 201, words").submit([reply(201, &["Content-Type: text/plain"], "Your job was created.")]).ends(LOST, "was created"),
        row("OGC: 200, RUNNING").submit([reply(200, &["Content-Type: text/plain"], "RUNNING")]).ends(LOST, "RUNNING"),
        row("OGC: 200, \"queued\"").submit([json(200, "\"queued\"")]).ends(LOST, "queued"),
        row("OGC: 200, running, with more beside it")
            .submit([json(200, r#"{"status":"running","eta":"5 min","queue":"gis","pct":5}"#)]).ends(LOST, "running"),
        row("OGC: 201, an empty id").submit([json(201, r#"{"jobID":"","status":"accepted"}"#)]).ends(LOST, "accepted"),
        row("OGC: 201, an id with a slash").submit([json(201, r#"{"jobID":"a/../../admin","status":"accepted"}"#)]).ends(LOST, "admin"),
        row("OGC: 201, an id that is true").submit([json(201, r#"{"jobID":true,"status":"accepted"}"#)]).ends(LOST, "accepted"),
        row("OGC: 202, nothing").submit([reply(202, &[], "")]).ends(LOST, "nothing that finds it again"),
        row("OGC: 201, nothing").submit([reply(201, &[], "")]).ends(LOST, "status 201"),
        row("OGC: 200, running, no id").submit([json(200, r#"{"status":"running","message":"on it"}"#)]).ends(LOST, "on it"),
        row("OGC: 200, a page to sign in").submit([page(200, "<html><title>Sign In</title></html>")]).ends(LOST, "Sign In"),
        row("OGC: 200, half of a document").submit([json(200, r#"{"jobI": "7", "sta"#)]).ends(LOST, "jobI"),
        ok(row("OGC: 200, half of a document, with the id").submit([json(200, r#"{"jobID": "7", "sta"#)])),
        ok(row("OGC: 202, a cut document, with the id").submit([cut(202, &[], r#"{"jobID":"7","status":"acc"#)])),
        row("OGC: 200, a cut document").submit([cut(200, &[], r#"{"answer": "#)]).ends(LOST, "incomplete"),
        row("OGC: a Location of another kind").submit([reply(202, &["Location: file:///etc/passwd"], "")]).ends(LOST, "202"),
        row("OGC: 303 elsewhere, unusable").submit([reply(303, &["Location: mailto:x@example.com"], "")]).ends(LOST, "mailto"),
    ]
}

/// It was done at once.
fn at_once() -> Vec<Row> {
    let sync = |name, headers: &[&str], body: &[u8]| row(name).submit([reply(200, headers, body)]);
    let tiff = b"II*\0\xff\xfe\x80\x00\r\n".as_slice();
    vec![
        sync("OGC: 200, a document", &["Content-Type: application/json"], b"{\"value\":7}").ends(End::Succeeded, "\"value\":7"),
        sync("OGC: 200, a document with an id", &["Content-Type: application/json"], b"{\"id\":\"a\",\"area\":7}").ends(End::Succeeded, "\"area\":7"),
        sync("OGC: 200, an output named error", &["Content-Type: application/json"], b"{\"error\":0.5,\"mean\":7}").ends(End::Succeeded, "0.5"),
        sync("OGC: 200, a raster", &["Content-Type: image/tiff; application=geotiff"], tiff)
            .ends(End::Succeeded, "results.tif").keeps("results.tif", "image/tiff; application=geotiff", tiff),
        sync("OGC: 200, a raster without a type", &[], tiff).ends(End::Succeeded, "results.tif").keeps("results.tif", "image/tiff", tiff),
        sync("OGC: 200, a picture declared as JSON", &["Content-Type: application/json"], b"\x89PNG\r\n\x1a\n")
            .ends(End::Succeeded, "results.png").keeps("results.png", "image/png", b"\x89PNG\r\n\x1a\n"),
        sync("OGC: 200, text in Latin-1", &["Content-Type: text/plain; charset=ISO-8859-1"], b"Fl\xe4che")
            .ends(End::Succeeded, "Fl\u{e4}che").keeps("results.txt", "text/plain; charset=ISO-8859-1", b"Fl\xe4che"),
        sync("OGC: 200, a page that was computed", &["Content-Type: text/html"], b"<html><title>Flood report</title></html>")
            .ends(End::Succeeded, "results.html").keeps("results.html", "text/html", b"<html><title>Flood report</title></html>"),
        sync("OGC: 200, GML", &["Content-Type: application/gml+xml"], b"<gml:a xmlns:gml='g'/>")
            .ends(End::Succeeded, "results.gml").keeps("results.gml", "application/gml+xml", b"<gml:a xmlns:gml='g'/>"),
        sync("OGC: 200, CSV", &["Content-Type: text/csv"], b"a,b\n1,2\n").keeps("results.csv", "text/csv", b"a,b\n1,2\n"),
        sync("OGC: 200, NetCDF", &["Content-Type: application/octet-stream"], b"CDF\x01\0").keeps("results.nc", "application/netcdf", b"CDF\x01\0"),
        sync("OGC: 200, several parts", &["Content-Type: multipart/related; boundary=b"], b"--b\r\nContent-Type: image/png\r\nContent-ID: <map>\r\n\r\n\x89PNG\r\n--b\r\nContent-Type: text/csv\r\n\r\na,b\r\n--b--\r\n")
            .ends(End::Succeeded, "map.png").keeps("map.png", "image/png", b"\x89PNG"),
        sync("OGC: 200, WPS has outputs", &["Content-Type: text/xml"], b"<ExecuteResponse><Status><ProcessSucceeded/></Status><ProcessOutputs><Output>7</Output></ProcessOutputs></ExecuteResponse>")
            .ends(End::Succeeded, "results.xml"),
        sync("OGC: 200, WPS failed", &["Content-Type: text/xml"], b"<ExecuteResponse><Status><ProcessFailed><ExceptionReport><Exception><ExceptionText>No data.</ExceptionText></Exception></ExceptionReport></ProcessFailed></Status></ExecuteResponse>")
            .ends(FAILED, "No data."),
        // pygeoapi without a job manager: it names a job, and there are no jobs.
        sync("OGC: 200, results, and a Location that is not there", &["Content-Type: application/json", "Location: /ogc/jobs/7"], b"{\"id\":\"echo\",\"value\":\"Hello\"}")
            .look([json(404, r#"{"code":"InvalidParameterValue","description":"7"}"#)])
            .ends(End::Succeeded, "Hello").logs("there is no job to look at"),
        sync("OGC: 200, a raster, and a Location that is not there", &["Content-Type: image/tiff", "Location: /ogc/jobs/7"], tiff)
            .look([json(404, "{}")]).ends(End::Succeeded, "results.tif").keeps("results.tif", "image/tiff", tiff),
        sync("OGC: 200, results, waited for", &["Content-Type: application/json", "Location: /ogc/jobs/7", "Preference-Applied: wait"], b"{\"value\":7}")
            .look([json(200, r#"{"jobID":"7","status":"successful"}"#)]).ends(End::Succeeded, "\"value\":7"),
        sync("OGC: 200, results, their job has none", &["Content-Type: application/json", "Location: /ogc/jobs/7"], b"{\"value\":7}")
            .look(done()).results([json(500, r#"{"code":"JobResultNotFound","description":"7"}"#)]).ends(End::Succeeded, "\"value\":7"),
        row("OGC: 200, no results, and a Location that is not there").submit([reply(200, &["Location: /ogc/jobs/7"], "")])
            .look([json(404, r#"{"title":"NoSuchJob"}"#)]).ends(LOST, "NoSuchJob"),
        row("OGC: 201, results").submit([json(201, r#"{"id":"echo","value":"Hello"}"#)]).ends(End::Succeeded, "Hello"),
        row("OGC: 201, outputs").submit([json(201, r#"{"outputs":{"area":7}}"#)]).ends(End::Succeeded, "\"area\":7"),
        row("OGC: 201, a raster").submit([reply(201, &["Content-Type: image/tiff"], tiff)]).ends(End::Succeeded, "results.tif"),
        row("OGC: 202, results of nothing").submit([json(202, r#"{"message":"soon"}"#)]).ends(LOST, "soon"),
        sync("OGC: 200, NaN", &["Content-Type: application/json"], b"{\"mean\":NaN}")
            .ends(End::Succeeded, "results.json").keeps("results.json", "application/json", b"{\"mean\":NaN}"),
        sync("OGC: 200, FAILED", &["Content-Type: text/plain"], b"FAILED").ends(FAILED, "FAILED"),
        row("OGC: 200, failed, with more beside it").submit([json(200, r#"{"status":"failed","tool":"x","message":"No data.","mean":7,"outputs":null}"#)])
            .ends(FAILED, "No data."),
        row("OGC: 200, success is false, with more beside it").submit([json(200, r#"{"success":false,"tool":"x","log":7,"message":"No data.","a":1}"#)])
            .ends(REFUSED, "No data."),
        row("OGC: 400, as pygeoapi says that a process failed")
            .submit([json(400, r#"{"code":"InvalidParameterValue","description":"Error executing process: no data"}"#)]).ends(FAILED, "no data"),
        row("OGC: 400, after it was executed")
            .submit([json_with(400, &["Preference-Applied: wait"], r#"{"code":"InvalidParameterValue","description":"No data."}"#)]).ends(FAILED, "No data."),
        row("OGC: 204").submit([reply(204, &[], "")]).ends(End::Succeeded, "empty"),
        row("OGC: 200, failed, no job").submit([json(200, r#"{"status":"failed","message":"No data.","type":"process"}"#)]).ends(FAILED, "No data."),
        row("OGC: longer than a request may take")
            .answers(Asked::Describe, [json(200, r#"{"jobControlOptions":["sync-execute"]}"#)])
            .within(Duration::from_secs(2)).submit([Reply::Late(5_000, Box::new(json(200, r#"{"value":7}"#)))])
            .ends(End::Succeeded, "\"value\":7"),
        row("OGC: longer, from a server that says it does both")
            .within(Duration::from_secs(2)).submit([Reply::Late(5_000, Box::new(json(200, r#"{"value":7}"#)))])
            .ends(End::Succeeded, "\"value\":7"),
        row("OGC: longer, from a server that does not say how")
            .answers(Asked::Describe, [json(404, "{}")])
            .within(Duration::from_secs(2)).submit([Reply::Late(5_000, Box::new(json(200, r#"{"value":7}"#)))])
            .ends(End::Succeeded, "\"value\":7"),
    ]
}

/// Nothing was begun, in the server's words.
fn refusals() -> Vec<Row> {
    let not = |name, reply: Reply, end, told| row(name).submit([reply]).ends(end, told);
    vec![
        not(
            "OGC: 400",
            json(400, r#"{"type":"x","title":"InvalidParameterValue","detail":"No such input."}"#),
            REFUSED,
            "No such input.",
        ),
        not("OGC: 404", json(404, r#"{"title":"NoSuchProcess"}"#), REFUSED, "NoSuchProcess"),
        not(
            "OGC: 500 with an exception",
            json(500, r#"{"code":"NoApplicableCode","description":"The disk is full."}"#),
            UNAVAILABLE,
            "The disk is full.",
        ),
        not(
            "OGC: 500 with an exception of OWS",
            reply(500, &["Content-Type: text/xml"], EXCEPTION),
            UNAVAILABLE,
            "It broke.",
        ),
        not(
            "OGC: 200 with an exception of OWS",
            reply(200, &["Content-Type: text/xml"], EXCEPTION),
            REFUSED,
            "It broke.",
        ),
        not(
            "OGC: 200 with ArcGIS's error",
            json(200, r#"{"error":{"code":498,"message":"Invalid token."}}"#),
            End::SubmitFailed(Reason::NotAllowed),
            "Invalid token.",
        ),
        not(
            "OGC: 200 with an error",
            json(200, r#"{"error":"no such process"}"#),
            REFUSED,
            "no such process",
        ),
        not(
            "OGC: 200 with a problem",
            json(200, r#"{"type":"about:blank","title":"Bad input","status":400}"#),
            REFUSED,
            "Bad input",
        ),
        not(
            "OGC: 401",
            page(401, "<html><h1>Unauthorized</h1></html>"),
            End::SubmitFailed(Reason::NotAllowed),
            "Unauthorized",
        ),
        not(
            "OGC: 403",
            json(403, r#"{"detail":"Not for you."}"#),
            End::SubmitFailed(Reason::NotAllowed),
            "Not for you.",
        ),
        not("OGC: 405", page(405, "<html><title>405 Not Allowed</title></html>"), REFUSED, "405"),
        not(
            "OGC: 413",
            page(413, "<html><title>413 Request Entity Too Large</title></html>"),
            REFUSED,
            "Too Large",
        ),
        not("OGC: 501", json(501, r#"{"title":"Not here"}"#), UNAVAILABLE, "Not here"),
        not(
            "OGC: 301",
            reply(301, &["Location: https://example.com/ogc/processes/p/execution"], ""),
            REFUSED,
            "redirects to https://example.com",
        ),
        not(
            "OGC: 307 to itself",
            reply(307, &["Location: /ogc/processes/p/execution"], ""),
            REFUSED,
            "redirects",
        ),
        not("OGC: 302 to sign in", reply(302, &["Location: /login?next=/ogc/jobs/"], ""), REFUSED, "/login"),
        not("OGC: 303 to sign in", reply(303, &["Location: /auth/signin"], ""), REFUSED, "signin"),
        not(
            "OGC: 400 in Latin-1",
            reply(
                400,
                &["Content-Type: application/json; charset=iso-8859-1"],
                b"{\"detail\":\"ung\xfcltig\"}",
            ),
            REFUSED,
            "ung\u{fc}ltig",
        ),
        row("OGC: 500 and a page: nobody knows")
            .submit([page(500, "<html><title>Server Error</title></html>")])
            .ends(LOST, "Server Error")
            .submitted(3),
        row("OGC: 502: nobody knows")
            .submit([page(502, "<html><title>502 Bad Gateway</title></html>")])
            .ends(LOST, "502")
            .submitted(3),
        row("OGC: busy for good")
            .submit([reply(503, &["Retry-After: 1"], "")])
            .ends(UNAVAILABLE, "asked again")
            .submitted(5),
        row("OGC: busy for long").submit([reply(503, &["Retry-After: 3600"], "")]).ends(UNAVAILABLE, "3600"),
    ]
}

/// What looks at the job show.
fn states() -> Vec<Row> {
    let shows = |name, first: &str| begun(name).look(soon(first)).ends(End::Succeeded, "42");
    let ends = |name, last: &str, end, told| begun(name).look([json(200, last)]).ends(end, told);
    let passing = |name, reply: Reply| {
        begun(name).look([reply.clone(), reply, done()[0].clone()]).ends(End::Succeeded, "42")
    };
    vec![
        shows("OGC: progress 45.5", r#"{"status":"running","progress":45.5}"#),
        shows("OGC: progress in a text", r#"{"status":"running","progress":"45%"}"#),
        shows("OGC: progress -1, message null", r#"{"status":"running","progress":-1,"message":null}"#),
        shows(
            "OGC: progress 300, message an object",
            r#"{"status":"running","progress":300,"message":{"en":"x"}}"#,
        ),
        shows(
            "OGC: everything is odd",
            r#"{"status":"Running","progress":[],"message":7,"links":7,"created":{},"jobID":null}"#,
        ),
        shows("OGC: twice the same field", r#"{"status":"failed","status":"running"}"#),
        shows("OGC: 'queued' within a job", r#"{"job":{"status":"queued"}}"#),
        shows("OGC: 'scheduled' within data", r#"{"status":"ok","data":{"status":"scheduled"}}"#),
        shows("OGC: an unknown status", r#"{"jobID":"7","status":"reticulating"}"#)
            .logs("'reticulating' is unknown"),
        ends("OGC: SUCCEEDED", r#"{"status":"SUCCEEDED","progress":"done"}"#, End::Succeeded, "42"),
        ends("OGC: finished", r#"{"status":"finished","message":[]}"#, End::Succeeded, "42"),
        ends("OGC: an end of WPS", r#"{"status":"wps:ProcessSucceeded"}"#, End::Succeeded, "42"),
        ends("OGC: failed", r#"{"jobID":"7","status":"failed","message":"No data."}"#, FAILED, "No data."),
        ends(
            "OGC: failed, an odd message",
            r#"{"status":"failed","progress":"x","message":{"text":"No data."}}"#,
            FAILED,
            "No data.",
        ),
        ends(
            "OGC: error, with an exception",
            r#"{"jobID":"7","status":"error","exception":{"code":"X","description":"No data."}}"#,
            FAILED,
            "No data.",
        ),
        ends(
            "OGC: completed, with failure",
            r#"{"jobID":"7","status":"completed","conclusion":"failure","message":"No data."}"#,
            FAILED,
            "No data.",
        ),
        ends("OGC: dismissed", r#"{"status":"Dismissed"}"#, CANCELLED, "dismissed"),
        ends("OGC: cancelled", r#"{"status":"canceled","message":"by ann"}"#, CANCELLED, "by ann"),
        ends(
            "OGC: timed out",
            r#"{"status":"timed_out"}"#,
            End::Failed(Reason::Timeout),
            "longer than it allows",
        ),
        begun("OGC: failed, by HTTP, too")
            .look([json(500, r#"{"jobID":"7","status":"failed","message":"No data."}"#)])
            .ends(FAILED, "No data."),
        passing("OGC: a passing 404", json(404, r#"{"title":"NoSuchJob"}"#)),
        passing("OGC: a passing 401", reply(401, &[], "")),
        passing("OGC: a passing 403", page(403, "<html>Forbidden</html>")),
        passing("OGC: a passing 400", json(400, "{}")),
        passing("OGC: a passing 500", page(500, "<html>Server Error</html>")),
        passing("OGC: a passing 502", page(502, "<html>Bad Gateway</html>")),
        passing("OGC: a passing page", page(200, "<html><title>Starting</title></html>")),
        passing("OGC: a passing nothing", reply(200, &[], "")),
        passing("OGC: a passing cut", cut(200, &[], "{\"status\":")),
        passing(
            "OGC: a passing error of ArcGIS",
            json(200, r#"{"error":{"code":500,"message":"Restarting."}}"#),
        ),
        begun("OGC: 404 for good")
            .look([json(404, r#"{"title":"NoSuchJob","detail":"It is gone."}"#)])
            .ends(LOST, "It is gone."),
        begun("OGC: 403 for good")
            .look([json(403, r#"{"detail":"Not yours."}"#)])
            .ends(End::Failed(Reason::NotAllowed), "Not yours."),
    ]
}

/// What came of a job that succeeded: nothing of it makes a failure.
fn results() -> Vec<Row> {
    let with = |name, results: Reply| begun(name).look(done()).results([results]);
    let late = |name, reply: Reply| {
        begun(name)
            .look(done())
            .results([reply.clone(), reply, json(200, r#"{"answer":42}"#)])
            .ends(End::Succeeded, "42")
    };
    let tiff = b"MM\0*\0\xff\xfe".as_slice();
    vec![
        with("OGC: results 204", reply(204, &[], "")).ends(End::Succeeded, "empty"),
        with("OGC: results, empty", reply(200, &[], "")).ends(End::Succeeded, "empty"),
        with("OGC: results, a page", page(200, "<html><title>Sign in</title></html>")).ends(End::Succeeded, "can't be read"),
        with("OGC: results 500", json(500, r#"{"detail":"Lost."}"#)).ends(End::Succeeded, "Lost."),
        with("OGC: results 404 for good", json(404, r#"{"title":"ResultNotReady"}"#)).ends(End::Succeeded, "ResultNotReady"),
        with("OGC: results, a status", json(200, r#"{"jobID":"7","status":"running"}"#)).ends(End::Succeeded, "state of a job"),
        with("OGC: results, an error", json(200, r#"{"error":{"code":500,"message":"Lost."}}"#)).ends(End::Succeeded, "Lost."),
        with("OGC: results, half of them", json(200, r#"{"answer": 4"#)).ends(End::Succeeded, "no JSON"),
        with("OGC: results, too long", Reply::Bytes(b"HTTP/1.1 200 X\r\nContent-Type: image/tiff\r\nContent-Length: 99000000000\r\n\r\nII".to_vec()))
            .ends(End::Succeeded, "more than"),
        late("OGC: results that are late", json(404, r#"{"title":"ResultNotReady"}"#)),
        late("OGC: results after a restart", page(502, "<html>Bad Gateway</html>")),
        with("OGC: results, a raster", reply(200, &["Content-Type: image/tiff"], tiff)).keeps("results.tif", "image/tiff", tiff),
        with("OGC: results, GeoJSON", reply(200, &["Content-Type: application/geo+json"], "{\"type\":\"FeatureCollection\",\"features\":[]}"))
            .ends(End::Succeeded, "FeatureCollection")
            .keeps("results.geojson", "application/geo+json", "{\"type\":\"FeatureCollection\",\"features\":[]}"),
        with("OGC: results, a table in Latin-1", reply(200, &["Content-Type: text/csv; charset=latin1"], b"Fl\xe4che\n"))
            .keeps("results.csv", "text/csv; charset=latin1", b"Fl\xe4che\n"),
        with("OGC: results, PDF", reply(200, &["Content-Type: application/pdf"], b"%PDF-1.7\xff")).keeps("results.pdf", "application/pdf", b"%PDF-1.7\xff"),
        with("OGC: results, zip without a type", reply(200, &[], b"PK\x03\x04\xff")).keeps("results.zip", "application/zip", b"PK\x03\x04\xff"),
        with("OGC: results behind another link", json(200, r#"{"answer":42}"#)).look([json(
            200,
            r#"{"status":"successful","links":[{"rel":"http://www.opengis.net/def/rel/ogc/1.0/results","href":"http://10.255.255.1:8080/ogc/jobs/7/results?f=json"}]}"#,
        )]).ends(End::Succeeded, "42"),
        with("OGC: results with a field named status", json(200, r#"{"status":"ok","mean":7}"#)).ends(End::Succeeded, "\"mean\":7"),
    ]
}
