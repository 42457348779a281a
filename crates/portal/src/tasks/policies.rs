//! Isochrone's own parameters: what ArcGIS has no words for. The crate's documentation lists them.

use isochrone_domain::{CrashPolicy, MisfirePolicy, OverlapPolicy, Policies};
use serde::Serialize;
use utoipa::ToSchema;

use crate::answer::Failure;
use crate::request::Parameters;

const LONGEST_TIMEOUT_S: i64 = 30 * 24 * 3_600;

/// The policies as the task resource shows them, in the words in which they are sent.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Shown {
    misfire_policy: String,
    overlap_policy: &'static str,
    max_retries: u32,
    retry_backoff_seconds: u64,
    timeout_seconds: i64,
    crash_policy: &'static str,
    max_consecutive_failures: i64,
}

impl From<&Policies> for Shown {
    fn from(policies: &Policies) -> Shown {
        Shown {
            misfire_policy: match policies.misfire {
                MisfirePolicy::RunLatest => "runLatest".to_owned(),
                MisfirePolicy::RunAll { max } => format!("runAll:{max}"),
                MisfirePolicy::Skip { grace_ms } => format!("skip:{}", grace_ms / 1_000),
            },
            overlap_policy: match policies.overlap {
                OverlapPolicy::Skip => "skip",
                OverlapPolicy::Queue => "queue",
                OverlapPolicy::Allow => "allow",
            },
            max_retries: policies.retry.max_retries,
            retry_backoff_seconds: policies.retry.backoff_ms / 1_000,
            timeout_seconds: policies.timeout_ms.map_or(-1, |ms| (ms / 1_000) as i64),
            crash_policy: match policies.crash {
                CrashPolicy::AtLeastOnce => "atLeastOnce",
                CrashPolicy::AtMostOnce => "atMostOnce",
            },
            max_consecutive_failures: policies.max_consecutive_failures.map_or(-1, i64::from),
        }
    }
}

/// `base` with what the parameters say; none if they say nothing of policies.
pub(super) fn read(parameters: &Parameters, base: &Policies) -> Result<Option<Policies>, Failure> {
    let mut policies = base.clone();
    if let Some(text) = parameters.given("misfirePolicy") {
        policies.misfire = misfire(text)?;
    }
    if let Some(text) = parameters.given("overlapPolicy") {
        policies.overlap = overlap(text)?;
    }
    if let Some(text) = parameters.given("crashPolicy") {
        policies.crash = crash(text)?;
    }
    if let Some(number) = parameters.whole("maxRetries", 0..=100)? {
        policies.retry.max_retries = number as u32;
    }
    if let Some(seconds) = parameters.whole("retryBackoffSeconds", 0..=3_600)? {
        policies.retry.backoff_ms = seconds as u64 * 1_000;
    }
    if let Some(limit) = parameters.limit("timeoutSeconds", LONGEST_TIMEOUT_S)? {
        policies.timeout_ms = limit.most().map(|seconds: u64| seconds * 1_000);
    }
    if let Some(limit) = parameters.limit("maxConsecutiveFailures", 1_000_000)? {
        policies.max_consecutive_failures = limit.most();
    }
    Ok((policies != *base).then_some(policies))
}

fn misfire(text: &str) -> Result<MisfirePolicy, Failure> {
    let (word, number) = text.split_once(':').map_or((text, None), |(word, number)| (word, Some(number)));
    let number = match number {
        None => Some(None),
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            digits.parse::<u32>().ok().map(Some)
        }
        Some(_) => None,
    };
    match (word, number) {
        ("runLatest", Some(None)) => Ok(MisfirePolicy::RunLatest),
        ("runAll", Some(None)) => Ok(MisfirePolicy::RunAll { max: u32::MAX }),
        ("runAll", Some(Some(max @ 1..))) => Ok(MisfirePolicy::RunAll { max }),
        ("skip", Some(seconds)) => {
            Ok(MisfirePolicy::Skip { grace_ms: u64::from(seconds.unwrap_or(0)) * 1_000 })
        }
        _ => Err(Failure::parameter(
            "misfirePolicy",
            "is unknown; expected runLatest, runAll, runAll:<most runs>, skip or skip:<grace seconds>",
        )),
    }
}

fn overlap(text: &str) -> Result<OverlapPolicy, Failure> {
    match text {
        "skip" => Ok(OverlapPolicy::Skip),
        "queue" => Ok(OverlapPolicy::Queue),
        "allow" => Ok(OverlapPolicy::Allow),
        _ => Err(Failure::parameter("overlapPolicy", "is unknown; expected skip, queue or allow")),
    }
}

fn crash(text: &str) -> Result<CrashPolicy, Failure> {
    match text {
        "atLeastOnce" => Ok(CrashPolicy::AtLeastOnce),
        "atMostOnce" => Ok(CrashPolicy::AtMostOnce),
        _ => Err(Failure::parameter("crashPolicy", "is unknown; expected atLeastOnce or atMostOnce")),
    }
}
