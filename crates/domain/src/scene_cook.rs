//! The parameters of ExecuteSceneCook: <https://developers.arcgis.com/rest/services-reference/enterprise/manage-scene-cache/>.

use serde_json::{Map, Value, json};

use crate::Problem;

/// How a cache is brought up to date.
const MODES: [&str; 4] =
    ["RECREATE_EMPTY_NODES", "RECREATE_ALL_NODES", "PARTIAL_UPDATE_NODES", "PARTIAL_UPDATE_ATTRIBUTES"];
/// Of the service that cooks: with one it waits for itself.
const FEWEST_INSTANCES: u64 = 2;

/// What is to be cooked, and how.
#[derive(Clone, Debug, PartialEq)]
pub struct SceneCook {
    service_url: String,
    given: Map<String, Value>,
}

impl SceneCook {
    /// Of a JSON object.
    pub fn read(parameters: &str) -> Result<SceneCook, Problem> {
        let wrong = |problem: String| Problem::new("parameters", problem);
        let given: Map<String, Value> =
            serde_json::from_str(parameters).map_err(|error| wrong(format!("is no JSON object: {error}")))?;
        let text = |name: &str| match given.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.as_str())),
            Some(_) => Err(wrong(format!("has '{name}', which is no text"))),
        };
        let url = text("service_url")?.ok_or_else(|| wrong("lacks 'service_url'".to_owned()))?;
        let url = url.trim_end_matches('/');
        let is_scene = url.ends_with("/SceneServer") && url.contains("/rest/services/");
        if !is_scene || !(url.starts_with("https://") || url.starts_with("http://")) {
            let problem =
                "has 'service_url', which is no scene service (https://.../rest/services/.../SceneServer)";
            return Err(wrong(problem.to_owned()));
        }
        if let Some(mode) = text("update_mode")?.filter(|mode| !MODES.contains(mode)) {
            return Err(wrong(format!("has update_mode '{mode}'; expected one of {}", MODES.join(", "))));
        }
        text("layer")?;
        match given.get("num_of_caching_service_instances") {
            None | Some(Value::Null) => {}
            Some(number) if number.as_u64().is_some_and(|number| number >= FEWEST_INSTANCES) => {}
            Some(other) => {
                let expected = format!("expected {FEWEST_INSTANCES} or more");
                return Err(wrong(format!("has num_of_caching_service_instances {other}; {expected}")));
            }
        }
        Ok(SceneCook { service_url: url.to_owned(), given })
    }

    /// All parameters of the cook, as a JSON object: those that were given, and what is understood.
    pub fn parameters(&self) -> String {
        let mut all = self.given.clone();
        let understood = [
            ("num_of_caching_service_instances", json!(FEWEST_INSTANCES)),
            ("layer", json!("{}")),
            ("update_mode", json!("RECREATE_ALL_NODES")),
        ];
        for (name, value) in understood {
            let slot = all.entry(name).or_insert(Value::Null);
            if slot.is_null() {
                *slot = value;
            }
        }
        all.insert("service_url".to_owned(), json!(self.service_url));
        Value::Object(all).to_string()
    }

    /// The service, without a slash at its end.
    pub fn service_url(&self) -> &str {
        &self.service_url
    }

    /// The root of the service's own server, as `https://host/context`.
    pub fn server_root(&self) -> &str {
        self.service_url.split("/rest/services/").next().unwrap_or_default()
    }

    /// The same for each way to write the service's URL.
    pub fn service_key(&self) -> String {
        self.service_url.to_ascii_lowercase()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const URL: &str = "https://gis.example.com/server/rest/services/Hosted/City/SceneServer";

    #[test]
    fn what_is_not_given_is_understood() {
        let cook = SceneCook::read(&format!(r#"{{"service_url": "{URL}/", "update_extent": "DEFAULT"}}"#));
        let cook = cook.expect("it can be cooked");
        assert_eq!(cook.server_root(), "https://gis.example.com/server");
        let all: Value = serde_json::from_str(&cook.parameters()).expect("JSON");
        let expected = json!({
            "service_url": URL, "update_extent": "DEFAULT", "num_of_caching_service_instances": 2, "layer": "{}",
            "update_mode": "RECREATE_ALL_NODES",
        });
        assert_eq!(all, expected);
    }

    #[test]
    fn what_can_t_be_cooked_is_named() {
        let cases = [
            ("{}", "service_url"),
            (r#"{"service_url": "https://x/rest/services/City/FeatureServer"}"#, "service_url"),
            (r#"{"service_url": "City/SceneServer"}"#, "service_url"),
            (r#"{"service_url": 5}"#, "service_url"),
            (r#"{"service_url": "URL", "update_mode": "ALL"}"#, "update_mode"),
            (r#"{"service_url": "URL", "layer": {}}"#, "layer"),
            (
                r#"{"service_url": "URL", "num_of_caching_service_instances": 1}"#,
                "num_of_caching_service_instances",
            ),
            (
                r#"{"service_url": "URL", "num_of_caching_service_instances": "2"}"#,
                "num_of_caching_service_instances",
            ),
        ];
        for (parameters, named) in cases {
            let problem = SceneCook::read(&parameters.replace("URL", URL)).expect_err(parameters);
            assert_eq!(problem.parameter, "parameters");
            assert!(problem.problem.contains(named), "{problem}");
        }
    }
}
