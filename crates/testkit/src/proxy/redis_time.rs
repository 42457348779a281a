//! Redis's answers to `TIME`, changed on their way.

/// As the answer begins: an array of two, of which the first, the seconds, has ten digits.
const BEGIN: &[u8] = b"*2\r\n$10\r\n";
const DIGITS: usize = 10;
/// Behind the seconds: the microseconds have one to six digits.
const END: &[u8] = b"\r\n$";

/// One connection's answers. What may be the beginning of a time waits for the rest.
#[derive(Debug, Default)]
pub(super) struct RedisTimes {
    waiting: Vec<u8>,
}

impl RedisTimes {
    /// The bytes that go on, with each time in them that many seconds ahead. None came: the last ones.
    pub(super) fn shifted(&mut self, bytes: &[u8], ahead: i64) -> Vec<u8> {
        let mut all = std::mem::take(&mut self.waiting);
        if ahead == 0 || bytes.is_empty() {
            all.extend_from_slice(bytes);
            return all;
        }
        all.extend_from_slice(bytes);
        let mut place = 0;
        while place < all.len() {
            match seconds(&all[place..]) {
                Found::Seconds(seconds) => {
                    let digits = place + BEGIN.len()..place + BEGIN.len() + DIGITS;
                    all[digits.clone()].copy_from_slice(format!("{:010}", seconds + ahead).as_bytes());
                    place = digits.end;
                }
                Found::Perhaps => {
                    self.waiting = all.split_off(place);
                    break;
                }
                Found::Nothing => place += 1,
            }
        }
        all
    }
}

enum Found {
    Seconds(i64),
    /// More bytes would tell.
    Perhaps,
    Nothing,
}

fn seconds(bytes: &[u8]) -> Found {
    let begins =
        |pattern: &[u8], bytes: &[u8]| pattern.iter().zip(bytes).all(|(wanted, found)| wanted == found);
    let digits = bytes.get(BEGIN.len()..).unwrap_or_default();
    let digits = &digits[..digits.len().min(DIGITS)];
    let end = bytes.get(BEGIN.len() + DIGITS..).unwrap_or_default();
    if !begins(BEGIN, bytes) || !digits.iter().all(u8::is_ascii_digit) || !begins(END, end) {
        return Found::Nothing;
    }
    if end.len() < END.len() {
        return Found::Perhaps;
    }
    let seconds = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok());
    seconds.map_or(Found::Nothing, Found::Seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_changed_wherever_they_are_cut_and_nothing_else_is() {
        let stream = b"+OK\r\n*2\r\n$10\r\n1700000000\r\n$6\r\n123456\r\n*2\r\n$1\r\na\r\n$1\r\nb\r\n";
        let wanted = b"+OK\r\n*2\r\n$10\r\n1700003600\r\n$6\r\n123456\r\n*2\r\n$1\r\na\r\n$1\r\nb\r\n";
        for cut in 0..stream.len() {
            let mut times = RedisTimes::default();
            let mut passed = times.shifted(&stream[..cut], 3_600);
            if cut > 0 {
                passed.extend(times.shifted(&stream[cut..], 3_600));
            } else {
                passed = times.shifted(stream, 3_600);
            }
            assert_eq!(passed, wanted, "cut at {cut}");
        }
        assert_eq!(RedisTimes::default().shifted(stream, 0), stream);
    }
}
