//! What a simulated GIS server can do.

use std::collections::BTreeMap;
use std::time::Duration;

use geo::{Buffer, Coord, LineString, MultiPolygon, Point};
use serde_json::{Value, json};

use crate::answers::Refused;
use crate::asked::Asked;

/// How long a job takes unless it is told.
pub(super) const SECONDS: f64 = 0.2;
/// How long the scene service `Slow` takes to cook.
const SLOW_COOK: f64 = 4.0;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tool {
    Buffer,
    Slow,
    Stubborn,
    Broken,
    Silent,
    Overlong,
    Novel,
    Late,
    Instant,
    Cook,
}

/// What a job comes to.
pub(super) struct Outcome {
    pub(super) takes: Duration,
    /// Its results, each with its type; or why it fails.
    pub(super) result: Result<BTreeMap<String, (&'static str, Value)>, String>,
}

impl Outcome {
    pub(super) fn results(&self) -> Option<&BTreeMap<String, (&'static str, Value)>> {
        self.result.as_ref().ok().filter(|results| !results.is_empty())
    }

    /// As a server shows them.
    pub(super) fn listed(&self) -> Vec<Value> {
        let shown =
            |(name, (kind, value)): (_, &_)| json!({"paramName": name, "dataType": kind, "value": value});
        self.results().into_iter().flatten().map(shown).collect()
    }
}

impl Tool {
    pub(super) fn carry_out(self, asked: &Asked) -> Outcome {
        let slow =
            self == Tool::Cook && asked.parameter("service_url").is_some_and(|url| url.contains("/Slow/"));
        let usual = if slow { SLOW_COOK } else { SECONDS };
        let seconds = asked.parameter("seconds").and_then(|text| text.parse().ok()).unwrap_or(usual);
        let takes = Duration::from_secs_f64(seconds);
        let result = match self {
            Tool::Buffer => buffered(asked).map(|features| {
                BTreeMap::from([("Output_Features".to_owned(), ("GPFeatureRecordSetLayer", features))])
            }),
            Tool::Cook => cooked(asked),
            Tool::Broken => Err("ERROR 000732: Input Features: Dataset does not exist".to_owned()),
            Tool::Overlong => Err("ERROR 999999: The maximum usage time was exceeded".to_owned()),
            Tool::Silent => Ok(BTreeMap::new()),
            Tool::Instant => {
                let said = json!(asked.parameter("text").unwrap_or_default());
                Ok(BTreeMap::from([("said".to_owned(), ("GPString", said))]))
            }
            Tool::Slow | Tool::Stubborn | Tool::Novel | Tool::Late => {
                Ok(BTreeMap::from([("slept".to_owned(), ("GPDouble", json!(seconds)))]))
            }
        };
        Outcome { takes, result }
    }

    /// Of a synchronous task: the results are the answer.
    pub(super) fn execute(self, asked: &Asked) -> Result<Value, Refused> {
        let outcome = self.carry_out(asked);
        if outcome.result.is_err() {
            return Err(Refused(400, "Unable to complete operation."));
        }
        Ok(json!({"results": outcome.listed(), "messages": []}))
    }
}

fn cooked(asked: &Asked) -> Result<BTreeMap<String, (&'static str, Value)>, String> {
    let required =
        |name: &str| asked.parameter(name).ok_or(format!("ERROR 000735: {name}: Value is required"));
    let url = required("service_url")?;
    if url.contains("/Missing/") {
        return Err("ERROR 001487: the scene service does not exist".to_owned());
    }
    required("layer")?;
    required("update_mode")?;
    let instances = asked.number("num_of_caching_service_instances").unwrap_or(1);
    if instances < 2 {
        return Err("ERROR 001401: 2 caching service instances are needed".to_owned());
    }
    Ok(BTreeMap::from([("out_service_url".to_owned(), ("GPString", json!(url)))]))
}

/// The features of `Input_Features` (points and lines, in metres) with an edge `Distance` around them.
fn buffered(asked: &Asked) -> Result<Value, String> {
    let input = |name: &str| -> Result<Value, String> {
        let text = asked.parameter(name).ok_or(format!("ERROR 000735: {name}: Value is required"))?;
        serde_json::from_str(text).map_err(|_| format!("ERROR 000732: {name} is no JSON"))
    };
    let distance = input("Distance")?;
    let metres = match distance["units"].as_str() {
        Some("esriMeters") => 1.0,
        Some("esriKilometers") => 1000.0,
        _ => return Err("ERROR 000800: the units are not known".to_owned()),
    };
    let distance = distance["distance"].as_f64().unwrap_or_default() * metres;
    let input = input("Input_Features")?;
    let features = input["features"].as_array().ok_or("ERROR 000732: no features")?;
    let features: Vec<Value> = features
        .iter()
        .map(|feature| {
            let around = around(&feature["geometry"], distance)
                .ok_or("ERROR 000601: a geometry is no point or line")?;
            Ok(json!({"geometry": {"rings": rings(&around)}, "attributes": feature["attributes"]}))
        })
        .collect::<Result<_, String>>()?;
    let mut buffered = json!({
        "displayFieldName": "", "geometryType": "esriGeometryPolygon", "features": features,
        "exceededTransferLimit": false,
    });
    for kept in ["spatialReference", "fields"] {
        if !input[kept].is_null() {
            buffered[kept] = input[kept].clone();
        }
    }
    Ok(buffered)
}

fn around(geometry: &Value, distance: f64) -> Option<MultiPolygon> {
    if let (Some(x), Some(y)) = (geometry["x"].as_f64(), geometry["y"].as_f64()) {
        return Some(Point::new(x, y).buffer(distance));
    }
    let paths = geometry["paths"].as_array()?;
    let lines = paths.iter().map(|path| {
        let coords = path.as_array()?.iter().map(|at| Some(Coord { x: at[0].as_f64()?, y: at[1].as_f64()? }));
        coords.collect::<Option<Vec<Coord>>>().map(LineString::new)
    });
    let lines: Vec<LineString> = lines.collect::<Option<_>>()?;
    Some(geo::MultiLineString::new(lines).buffer(distance))
}

/// As ArcGIS has them: the outer ones and the holes in one list.
fn rings(polygons: &MultiPolygon) -> Vec<Vec<[f64; 2]>> {
    let ring = |line: &LineString| line.coords().map(|at| [at.x, at.y]).collect();
    polygons.iter().flat_map(|one| std::iter::once(one.exterior()).chain(one.interiors())).map(ring).collect()
}
