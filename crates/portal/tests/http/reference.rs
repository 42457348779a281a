//! The requests printed in ArcGIS's createTask reference, byte for byte.

use std::time::Duration;

use isochrone_portal::Config;
use isochrone_store::TokenBinding;
use serde_json::{Value, json};

use crate::server::{Server, error};

const SCENE_COOK: &str = include_str!("requests/scene_cook.form");
const NOTEBOOK: &str = include_str!("requests/notebook.form");
const UNQUOTED_URL: &str = include_str!("requests/unquoted_url.form");
const GP_SERVICE: &str = include_str!("requests/gp_service.multipart");

/// The token printed in the reference.
const GP_TOKEN: &str = "j18phrBxUy4tX_JAIGFEDqCsVkNsPZfwt-1X2ehnRqcihHaJ54Lbt97Y6pOn83jD6ytI8x9tMkqod3uQ6HYqvIqwUTEdKkkNQiEM2S_ehwGuUuIiQkmKbo6KdnUeuVqKmxaWdAXCy2nftfxKhW47rd_jAccwT8bQyls5p8f14Nts5I5_4fS2URnQ70H5W83O";

/// The printed head. The reference leaves the token out; a client sends it in a header.
fn printed_head(context: &str, host: &str) -> String {
    format!(
        "POST {context}/sharing/rest/community/users/NBadmin/tasks/a7ce628005004e758f3387d735b3e1ca/createTask HTTP/1.1\n\
         Host: {host}\n\
         Content-Type: application/x-www-form-urlencoded\n\
         X-Esri-Authorization: Bearer NBadmin"
    )
}

fn created(answer: &Value) -> &str {
    assert_eq!(answer["success"], true, "{answer}");
    let id = answer["taskId"].as_str().expect("an id");
    assert!(id.len() == 32 && id.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)), "{id}");
    id
}

/// The fields that the printed requests set, as the task resource must give them back.
fn assert_fields(task: &Value, expected: &Value) {
    for (name, value) in expected.as_object().expect("an object") {
        assert_eq!(&task[name], value, "{name} of {task}");
    }
}

async fn scene_cook(server: &Server, context: &str, host: &str) {
    let answer = server.raw_post(&printed_head(context, host), SCENE_COOK.as_bytes()).await;
    let task = server.get("NBadmin", &format!("/community/users/NBadmin/tasks/{}", created(&answer))).await;
    assert_fields(
        &task,
        &json!({
            "id": created(&answer),
            "title": "OnceAnHour30Times",
            "type": "ExecuteSceneCook",
            "userId": "NBadmin",
            "itemId": "029b61ca770e428d9468a2a55f40b9fb",
            "parameters": {
                "service_url": "https://machine.esri.com/webadaptor/rest/services/Hosted/ServiceName/SceneServer",
                "num_of_caching_service_instances": 2,
                "layer": "{}",
                "update_mode": "PARTIAL_UPDATE_NODES",
            },
            "startDate": 1_589_428_800_000_i64,
            "endDate": 1_589_428_800_000_i64,
            "cronSchedule": {"minute": "*/1", "hour": "*", "dayOfMonth": "*", "month": "*", "dayOfWeek": "?"},
            "maxOccurrences": 30,
            "occurrences": 0,
            "active": true,
            // Its only minute was in May 2020.
            "taskState": "completed",
            "nextStart": null,
        }),
    );
}

#[tokio::test]
async fn the_scene_service_of_arcgis_online() {
    scene_cook(&Server::start().await, "", "org.arcgis.com").await;
}

#[tokio::test]
async fn the_scene_service_under_a_context() {
    scene_cook(&Server::start().await, "/portal", "machine.domain.com").await;
    let config = Config { context: "webadaptor".to_owned(), ..Config::default() };
    scene_cook(&Server::with(config).await, "/webadaptor", "machine.domain.com").await;
}

#[tokio::test]
async fn the_answer_is_indented_for_pjson() {
    let server = Server::start().await;
    let head = printed_head("", "h").replace('\n', "\r\n");
    let length = SCENE_COOK.len();
    let request = format!("{head}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{SCENE_COOK}");
    let (head, body) = server.raw(request.as_bytes()).await;
    assert!(head.to_lowercase().contains("content-type: text/plain;charset=utf-8"), "{head}");
    assert!(body.starts_with("{\n  \"success\": true,\n  \"taskId\": \""), "{body}");
}

#[tokio::test]
async fn the_notebook_with_empty_parameters() {
    let server = Server::start().await;
    let answer = server.raw_post(&printed_head("/portal", "machine.domain.com"), NOTEBOOK.as_bytes()).await;
    let task = server.get("NBadmin", &format!("/community/users/NBadmin/tasks/{}", created(&answer))).await;
    assert_fields(
        &task,
        &json!({
            "title": "OnceAMinute30Times",
            "type": "ExecuteNotebook",
            "itemId": "029b61ca770e428d9468a2a55f40b9fb",
            "parameters": {},
            "startDate": 1_589_428_800_000_i64,
            "endDate": 1_589_428_800_000_i64,
            "cronSchedule": {"minute": "*/1", "hour": "*", "dayOfMonth": "*", "month": "*", "dayOfWeek": "?"},
            "maxOccurrences": 30,
        }),
    );
}

#[tokio::test]
async fn the_geoprocessing_service_as_multipart_with_an_empty_end_date() {
    let server = Server::start().await;
    server.put_token(GP_TOKEN, "GPadmin", Duration::from_hours(1), TokenBinding::None).await;
    let printed = GP_SERVICE.replace('\n', "\r\n");
    // Most clients end the empty part as RFC 2046 has it; the reference prints one line end less.
    let proper = printed.replacen("name=\"endDate\"\r\n\r\n", "name=\"endDate\"\r\n\r\n\r\n", 1);
    assert_ne!(printed, proper);
    for body in [printed, proper] {
        let head = "POST /portal/sharing/rest/community/users/GPadmin/createTask HTTP/1.1\n\
             Host: machine.domain.com\n\
             Content-Type:\tmultipart/form-data; boundary=---------------------------4137116237415213046158097313";
        let answer = server.raw_post(head, body.as_bytes()).await;
        let task =
            server.get("GPadmin", &format!("/community/users/GPadmin/tasks/{}", created(&answer))).await;
        assert_fields(
            &task,
            &json!({
                "title": "TestGPServiceTask",
                "type": "GPService",
                "taskUrl": "https://machine.domain.com/webadaptor/rest/services/Level1_Async/GPServer/Pairwise%20Buffer",
                "itemId": "9512500fb1ac443baf943f418400b661",
                "parameters": {
                    "in_features": {
                        "url": "https://machine.domain.com/webadaptor/rest/services/Hosted/ServiceName/FeatureServer/0"
                    },
                    "buffer_distance_or_field": {"distance": 5, "units": "esriKilometers"},
                    "esri_out_feature_service_name": {
                        "serviceProperties": {
                            "serviceUrl": "https://machine.domain.com/server/rest/services/Hosted/OutputFeatureServiceName/FeatureServer"
                        },
                        "itemProperties": {"overwrite": true, "newFeatureServiceOnOverwriteFail": true}
                    }
                },
                "startDate": 1_691_451_979_521_i64,
                "endDate": null,
                "cronSchedule": {"minute": "*/10", "hour": "*", "dayOfMonth": "*", "month": "*", "dayOfWeek": "?"},
                "maxOccurrences": 5,
                "taskState": "active",
            }),
        );
        assert!(task["nextStart"].is_i64(), "{task}");
        assert_eq!(task["runIntervalSeconds"], 600);
    }
    assert_eq!(server.task_count().await, 2);
}

#[tokio::test]
async fn the_references_own_flaw_is_told() {
    let server = Server::start().await;
    let answer = server.raw_post(&printed_head("", "org.arcgis.com"), UNQUOTED_URL.as_bytes()).await;
    let (code, message, details) = error(&answer);
    assert_eq!(code, 400);
    assert!(message.starts_with("'parameters' is no valid JSON: "), "{message}");
    assert!(message.contains("URLs must stand in double quotes"), "{message}");
    assert_eq!(details, "parameters");
    server.assert_nothing_stored("the flawed request").await;
}
