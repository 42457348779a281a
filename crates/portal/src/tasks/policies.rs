//! Isochrone's own parameters: what ArcGIS has no words for. The crate's documentation lists them.

use isochrone_domain::{CrashPolicy, ItemChanges, MisfirePolicy, OverlapPolicy, Policies, PolicyChange};
use serde::Serialize;
use utoipa::ToSchema;

use crate::answer::Failure;
use crate::request::{Limit, Parameters};

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
    item_changes: &'static str,
    allow_unknown_parameters: bool,
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
            item_changes: match policies.item_changes {
                ItemChanges::Pinned => "pinned",
                ItemChanges::Follow => "follow",
            },
            allow_unknown_parameters: policies.allow_unknown_parameters,
        }
    }
}

/// What the parameters say of policies.
pub(super) fn read(parameters: &Parameters) -> Result<PolicyChange, Failure> {
    let number = |name, most| parameters.whole(name, 0..=most);
    let timeout = parameters.limit("timeoutSeconds", LONGEST_TIMEOUT_S)?;
    let failures = parameters.limit("maxConsecutiveFailures", 1_000_000)?;
    Ok(PolicyChange {
        misfire: parameters.given("misfirePolicy").map(misfire).transpose()?,
        overlap: parameters.given("overlapPolicy").map(overlap).transpose()?,
        crash: parameters.given("crashPolicy").map(crash).transpose()?,
        max_retries: number("maxRetries", 100)?.map(|number| number as u32),
        backoff_ms: number("retryBackoffSeconds", 3_600)?.map(|seconds| seconds as u64 * 1_000),
        timeout_ms: timeout.map(|limit| limit.most().map(|seconds: u64| seconds * 1_000)),
        max_consecutive_failures: failures.map(Limit::most),
        item_changes: parameters.given("itemChanges").map(item_changes).transpose()?,
        allow_unknown_parameters: parameters.flag("allowUnknownParameters")?,
    })
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

fn item_changes(text: &str) -> Result<ItemChanges, Failure> {
    match text {
        "pinned" => Ok(ItemChanges::Pinned),
        "follow" => Ok(ItemChanges::Follow),
        _ => Err(Failure::parameter("itemChanges", "is unknown; expected pinned or follow")),
    }
}
