//! Lists of numbers and names as English writes them.

/// The positions of the set bits, smallest first.
pub(crate) fn positions(mask: u64) -> Vec<u32> {
    (0..u64::BITS).filter(|bit| mask & (1 << bit) != 0).collect()
}

/// Start and step if the bits are at least two and all those that `start/step` means below `count`.
pub(crate) fn even_step(mask: u64, count: u32) -> Option<(u32, u32)> {
    let start = mask.trailing_zeros();
    let rest = mask & mask.checked_sub(1)?;
    if rest == 0 {
        return None;
    }
    let step = rest.trailing_zeros() - start;
    let all = (start..count).step_by(step as usize).fold(0, |all, bit| all | (1_u64 << bit));
    (start < step && all == mask).then_some((start, step))
}

/// `a`, `a and b`, `a, b and c`.
pub(crate) fn joined(items: &[String]) -> String {
    match items {
        [] => String::new(),
        [one] => one.clone(),
        [most @ .., last] => format!("{} and {last}", most.join(", ")),
    }
}

/// The values as a list in which three or more in a row become `a to b`.
///
/// `around` is the number of values after which they begin anew, where a row may run over the end.
pub(crate) fn listed(values: &[u32], around: Option<u32>, word: impl Fn(u32) -> String) -> String {
    let mut runs = runs(values);
    if let (Some(count), [first, .., last]) = (around, runs.as_slice()) {
        let (head, tail) = (*first, *last);
        let meet = head.0 == 0 && tail.1 + 1 == count;
        if meet && tail.1 - tail.0 + head.1 - head.0 + 2 >= 3 {
            runs.remove(0);
            runs.pop();
            runs.push((tail.0, head.1));
        }
    }
    let mut items = Vec::new();
    for (first, last) in runs {
        match last.checked_sub(first) {
            Some(0) => items.push(word(first)),
            Some(1) => items.extend([word(first), word(last)]),
            _ => items.push(format!("{} to {}", word(first), word(last))),
        }
    }
    joined(&items)
}

/// First and last of each row of neighbours.
fn runs(values: &[u32]) -> Vec<(u32, u32)> {
    let mut runs: Vec<(u32, u32)> = Vec::new();
    for &value in values {
        match runs.last_mut() {
            Some(run) if run.1 + 1 == value => run.1 = value,
            _ => runs.push((value, value)),
        }
    }
    runs
}

/// `1st`, `2nd`, `3rd`, `4th`.
pub(crate) fn ordinal(number: u32) -> String {
    let ending = match (number % 10, number % 100) {
        (_, 11..=13) => "th",
        (1, _) => "st",
        (2, _) => "nd",
        (3, _) => "rd",
        _ => "th",
    };
    format!("{number}{ending}")
}
