//! Wrong requests: each is told what is wrong with it, and nothing is stored.

use serde_json::Value;

use crate::server::{Server, error, hourly};

const CREATE: &str = "/community/users/bob/tasks/createTask";

const GP: [(&str, &str); 3] = [
    ("type", "GPService"),
    ("taskURL", "https://host/rest/services/A/GPServer/B"),
    ("parameters", "{\"distance\": 5}"),
];

/// A wrong createTask is refused with 400 and names the parameter.
async fn assert_refused(
    server: &Server,
    form: &[(&str, &str)],
    parameter: &str,
    case: &str,
) -> (String, String) {
    let answer = server.post("bob", CREATE, form).await;
    assert!(answer["success"].is_null(), "{case}: {answer}");
    let (code, message, details) = error(&answer);
    assert_eq!(code, 400, "{case}: {answer}");
    assert!(message.contains(&format!("'{parameter}'")), "{case}: {answer}");
    assert!(details.starts_with(parameter), "{case}: {answer}");
    server.assert_nothing_stored(case).await;
    (message, details)
}

#[tokio::test]
async fn every_required_parameter_wrong_in_every_way() {
    let server = Server::start().await;
    let base = hourly(&GP);
    for (name, right) in &base {
        let others: Vec<_> = base.iter().copied().filter(|(other, _)| other != name).collect();
        let with = |value| [&others[..], &[(*name, value)]].concat();

        let (message, _) = assert_refused(&server, &others, name, "missing").await;
        assert!(message.starts_with(&format!("'{name}' is required")), "{message}");
        let (message, _) = assert_refused(&server, &with(""), name, "empty").await;
        assert!(message.starts_with(&format!("'{name}' is required")), "{message}");
        let (message, _) =
            assert_refused(&server, &[&with(right)[..], &[(*name, right)]].concat(), name, "doubled").await;
        assert!(message.contains("more than once"), "{message}");
        if *name != "taskURL" {
            let shouted = name.to_uppercase();
            let form = [&others[..], &[(shouted.as_str(), *right)]].concat();
            let (_, details) = assert_refused(&server, &form, name, "in the wrong case").await;
            assert!(details.contains(&format!("'{shouted}' was sent")), "{details}");
        }
        for value in ["-1", "9223372036854775808", "1e400", "\u{ff11}", "\u{1F4A9}"] {
            assert_refused(&server, &with(value), name, &format!("{name}={value}")).await;
        }
        if ["minute", "hour", "dayOfMonth", "month", "dayOfWeek"].contains(name) {
            for value in ["75", "2147483648", "NaN", "1.5", " ", "1 2", "5-", "nonsense", ","] {
                assert_refused(&server, &with(value), name, &format!("{name}={value}")).await;
            }
        }
    }
}

#[tokio::test]
async fn optional_numbers_out_of_range() {
    let server = Server::start().await;
    let numbers = [
        ("startDate", "-1"),
        ("endDate", "-1"),
        ("startDate", "253402300800000"),
        ("maxOccurrences", "0"),
        ("maxOccurrences", "-2"),
        ("maxOccurrences", "2147483648"),
        ("maxRetries", "101"),
        ("retryBackoffSeconds", "3601"),
        ("timeoutSeconds", "0"),
        ("maxConsecutiveFailures", "0"),
    ];
    for (name, value) in numbers {
        assert_refused(&server, &hourly(&[(name, value)]), name, &format!("{name}={value}")).await;
    }
    for (name, _) in numbers {
        for value in ["9223372036854775808", "1e400", "NaN", "0x10", "\u{ff13}\u{ff10}", "1.5", "null"] {
            assert_refused(&server, &hourly(&[(name, value)]), name, &format!("{name}={value}")).await;
        }
    }
    for name in ["misfirePolicy", "overlapPolicy", "crashPolicy"] {
        for value in ["never", "runAll:0", "skip:x", "SKIP"] {
            assert_refused(&server, &hourly(&[(name, value)]), name, &format!("{name}={value}")).await;
        }
    }
    let early = hourly(&[("startDate", "1589428800000"), ("endDate", "1589428799999")]);
    assert_refused(&server, &early, "endDate", "an end before the start").await;
    let never = hourly(&[("dayOfMonth", "31"), ("month", "2")]);
    assert_refused(&server, &never, "dayOfMonth", "31 February").await;
}

#[tokio::test]
async fn unknown_types_are_told_the_known_ones() {
    let server = Server::start().await;
    for kind in ["executeNotebook", "Notebook", "ExecuteNotebook ", "<script>"] {
        let (message, _) = assert_refused(&server, &hourly(&[("type", kind)]), "type", kind).await;
        assert!(message.contains("ExecuteNotebook, UpdateInsightsWorkbook"), "{message}");
    }
}

#[tokio::test]
async fn parameters_that_are_no_object() {
    let server = Server::start().await;
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(10_000), "]".repeat(10_000));
    let deep_objects = format!("{}1{}", "{\"a\":".repeat(10_000), "}".repeat(10_000));
    let open = "[".repeat(10_000);
    for text in [
        deep.as_str(),
        &deep_objects,
        &open,
        "[]",
        "1",
        "null",
        "\"x\"",
        "{",
        "{}{}",
        "{'a': 1}",
        "{a: 1}",
        "NaN",
        "{\"a\": 1e400}",
        "{\"a\": \"\\ud800\"}",
        "{\"a\": NaN}",
    ] {
        let shown: String = text.chars().take(40).collect();
        assert_refused(&server, &hourly(&[("parameters", text)]), "parameters", &shown).await;
    }
}

async fn raw_body(server: &Server, body: &[u8]) -> Value {
    let head = format!(
        "POST /sharing/rest{CREATE} HTTP/1.1\nHost: h\nContent-Type: application/x-www-form-urlencoded\n\
         Authorization: Bearer bob"
    );
    server.raw_post(&head, body).await
}

#[tokio::test]
async fn bytes_that_are_no_text() {
    let server = Server::start().await;
    for (title, problem) in [
        (&b"title=%ED%A0%80"[..], "'title' is not valid UTF-8."),
        (b"title=\xed\xa0\x80", "'title' is not valid UTF-8."),
        (b"title=\xff", "'title' is not valid UTF-8."),
        (b"title=a%00b", "'title' has a NUL character."),
        (b"title=a\0b", "'title' has a NUL character."),
        (b"title=100%", "'title' has a '%' that is not followed by two hex digits."),
        (b"title=%u0041", "'title' has a '%' that is not followed by two hex digits."),
        (b"ti%00tle=a", "A parameter's name has a NUL character."),
    ] {
        let mut body = b"type=ExecuteNotebook&itemId=029b61ca770e428d9468a2a55f40b9fb&minute=0&hour=*&dayOfMonth=*&month=*&dayOfWeek=?&f=json&".to_vec();
        body.extend_from_slice(title);
        let (code, message, _) = error(&raw_body(&server, &body).await);
        assert_eq!((code, message.as_str()), (400, problem));
        server.assert_nothing_stored(problem).await;
    }
    let mut parts = Vec::new();
    for (name, value) in hourly(&[("title", "?"), ("f", "json")]) {
        parts.extend_from_slice(
            format!("--B\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n").as_bytes(),
        );
        parts.extend_from_slice(if name == "title" { b"\xed\xa0\x80" } else { value.as_bytes() });
        parts.extend_from_slice(b"\r\n");
    }
    parts.extend_from_slice(b"--B--\r\n");
    let head = format!(
        "POST /sharing/rest{CREATE} HTTP/1.1\nHost: h\nContent-Type: multipart/form-data; boundary=B\n\
         Authorization: Bearer bob"
    );
    let (code, message, _) = error(&server.raw_post(&head, &parts).await);
    assert_eq!((code, message.as_str()), (400, "'title' is not valid UTF-8."));
    let cut = &parts[..parts.len() - 20];
    assert_eq!(error(&server.raw_post(&head, cut).await).0, 400);
    server.assert_nothing_stored("broken multipart bodies").await;
}

#[tokio::test]
async fn requests_of_the_wrong_form() {
    let server = Server::start().await;
    let query: Vec<String> = hourly(&[]).iter().map(|(name, value)| format!("{name}={value}")).collect();
    let answer = server.get("bob", &format!("{CREATE}?{}", query.join("&"))).await;
    assert_eq!(error(&answer).0, 405, "a GET can't create");

    let many: Vec<String> = (0..101).map(|number| format!("p{number}=1")).collect();
    let (code, message, _) = error(&raw_body(&server, many.join("&").as_bytes()).await);
    assert_eq!((code, message.contains("more than 100 parameters")), (400, true));

    let json = format!(
        "POST /sharing/rest{CREATE} HTTP/1.1\nHost: h\nContent-Type: application/json\nAuthorization: Bearer bob"
    );
    assert_eq!(error(&server.raw_post(&json, b"{}").await).0, 400);

    let (code, message, _) = error(&server.get("bob", "/info?callback=alert").await);
    assert_eq!((code, message.contains("'callback'")), (400, true));

    let unknown = server.client.get(server.url("/info?f=xml")).send().await.expect("an answer");
    let unknown: Value = serde_json::from_str(&unknown.text().await.expect("text")).expect("json");
    assert_eq!(error(&unknown).1, "'f' is 'xml'; expected html, json or pjson.");

    for path in ["/nowhere", "/community/users/bob/tasks/1/2/3", "/community", "/%ff", "/info/%00"] {
        assert_eq!(error(&server.get("bob", path).await).0, 404, "{path}");
    }
    let outside = server.client.get(format!("http://{}/rest/info?f=json", server.address)).send().await;
    assert_eq!(outside.expect("an answer").status(), 200);
    let put = server.client.put(server.url("/info?f=json")).send().await.expect("an answer");
    assert!(put.text().await.expect("text").contains("\"code\":405"));
    server.assert_nothing_stored("requests of the wrong form").await;
}

#[tokio::test]
async fn a_body_just_within_the_limit_is_read() {
    let server = Server::start().await;
    let mut body = b"f=json&title=".to_vec();
    body.resize(2 << 20, b'x');
    assert_eq!(error(&raw_body(&server, &body).await).1, "'type' is required.");
    body.push(b'x');
    assert_eq!(error(&raw_body(&server, &body).await).0, 413);
}

#[tokio::test]
async fn a_client_that_asks_before_it_sends_is_told_at_once() {
    let server = Server::start().await;
    let head = format!(
        "POST /sharing/rest{CREATE}?f=json HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer bob\r\n\
         Content-Length: 5242880\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n"
    );
    let (head, body) = server.raw(head.as_bytes()).await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    assert!(body.contains("\"code\":413"), "{body}");
}

#[tokio::test]
async fn an_optional_parameter_in_the_wrong_case_is_not_lost_without_a_word() {
    let server = Server::start().await;
    let path = "/community/users/bob/createTask";
    for (sent, name) in [("MAXOCCURRENCES", "maxOccurrences"), ("enddate", "endDate"), ("Title", "title")] {
        let answer = server.post("bob", path, &hourly(&[(sent, "1")])).await;
        let (code, message, _) = error(&answer);
        assert!(code == 400 && message.contains(&format!("'{name}' was sent as '{sent}'")), "{answer}");
    }
    let answer = server.post("bob", path, &hourly(&[("MINUTE", "3")])).await;
    let (code, message, _) = error(&answer);
    assert!(code == 400 && message.contains("'minute' was sent as 'MINUTE'"), "beside minute: {answer}");
    server.assert_nothing_stored("optional parameters in the wrong case").await;
    let task = server.create("bob", &hourly(&[])).await;
    let answer =
        server.post("bob", &format!("/community/users/bob/tasks/{task}/update"), &[("MINUTE", "3")]).await;
    let (code, message, _) = error(&answer);
    assert!(code == 400 && message.contains("'minute' was sent as 'MINUTE'"), "{answer}");
    let kept = server.get("bob", &format!("/community/users/bob/tasks/{task}")).await;
    assert_eq!(kept["cronSchedule"]["minute"], "0");
}

#[tokio::test]
async fn quartzs_own_marks_are_numbers_out_of_range() {
    let server = Server::start().await;
    for (name, range) in [
        ("minute", "0 to 59"),
        ("hour", "0 to 23"),
        ("dayOfMonth", "1 to 31"),
        ("month", "1 to 12"),
        ("dayOfWeek", "1 to 7"),
    ] {
        for value in ["99", "98", "1,99", "099", "99/5", "99-5", "98-3", " 99 ", "1,98x", "99W", "98#2"] {
            let answer =
                server.post("bob", "/community/users/bob/createTask", &hourly(&[(name, value)])).await;
            let (code, message, _) = error(&answer);
            let told = message.contains(&format!("'{name}'")) && message.contains(range);
            assert!(code == 400 && told, "{name}={value}: {answer}");
        }
    }
    server.assert_nothing_stored("98 and 99").await;
    let task = server.create("bob", &hourly(&[])).await;
    let update = format!("/community/users/bob/tasks/{task}/update");
    let (code, message, _) = error(&server.post("bob", &update, &[("minute", "99")]).await);
    assert!(code == 400 && message.contains("'minute'") && message.contains("0 to 59"), "{message}");
}
