//! Numbers as Java reads them: a sign, then decimal digits of any script.

/// The zeros of the scripts that Java knows in a single UTF-16 unit; nine more digits follow each.
const ZEROS: [u32; 37] = [
    0x0030, 0x0660, 0x06F0, 0x07C0, 0x0966, 0x09E6, 0x0A66, 0x0AE6, 0x0B66, 0x0BE6, 0x0C66, 0x0CE6, 0x0D66,
    0x0DE6, 0x0E50, 0x0ED0, 0x0F20, 0x1040, 0x1090, 0x17E0, 0x1810, 0x1946, 0x19D0, 0x1A80, 0x1A90, 0x1B50,
    0x1BB0, 0x1C40, 0x1C50, 0xA620, 0xA8D0, 0xA900, 0xA9D0, 0xA9F0, 0xAA50, 0xABF0, 0xFF10,
];

/// The value of a digit of any script.
pub(crate) fn digit(c: char) -> Option<u32> {
    if c.is_ascii() {
        return c.to_digit(10);
    }
    let code = u32::from(c);
    let after = ZEROS.partition_point(|&zero| zero <= code);
    let value = code - ZEROS.get(after.checked_sub(1)?)?;
    (value < 10).then_some(value)
}

/// Takes one digit of any script off the front.
pub(crate) fn take_digit(text: &str) -> Option<(u32, &str)> {
    let c = text.chars().next()?;
    Some((digit(c)?, &text[c.len_utf8()..]))
}

/// Continues `value` over the ASCII digits in front of `text`; none if it leaves Java's int.
pub(crate) fn take_number(value: u32, text: &str) -> Option<(u32, &str)> {
    let length = text.bytes().take_while(u8::is_ascii_digit).count();
    let (digits, rest) = text.split_at(length);
    let value = digits.bytes().fold(u64::from(value), |sum, d| (sum * 10 + u64::from(d - b'0')).min(1 << 32));
    Some((u32::try_from(value).ok().filter(|&v| i32::try_from(v).is_ok())?, rest))
}

/// The whole text as a Java int.
pub(crate) fn whole_int(text: &str) -> Option<i32> {
    let (sign, digits) = match text.as_bytes().first()? {
        b'-' => (-1, &text[1..]),
        b'+' => (1, &text[1..]),
        _ => (1, text),
    };
    if digits.is_empty() {
        return None;
    }
    let mut value = 0_i64;
    for c in digits.chars() {
        value = (value * 10 + i64::from(digit(c)?)).min(1 << 32);
    }
    i32::try_from(sign * value).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_java_reads() {
        assert_eq!(whole_int("+5"), Some(5));
        assert_eq!(whole_int("-2147483648"), Some(i32::MIN));
        assert_eq!(whole_int("2147483648"), None);
        assert_eq!(whole_int("٣४"), Some(34));
        for bad in ["", "+", "-", "5x", "--1", "1-", "+-", "𝟓"] {
            assert_eq!(whole_int(bad), None, "{bad}");
        }
        assert_eq!(digit('9'), Some(9));
        assert_eq!(digit('½'), None);
        assert_eq!(take_number(1, "2x"), Some((12, "x")));
        assert_eq!(take_number(0, &"9".repeat(4_000)), None);
    }
}
