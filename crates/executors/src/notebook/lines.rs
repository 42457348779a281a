//! Lines out of streams whose writers can't be trusted to end them.

use isochrone_worker::Mask;
use tokio::io::{AsyncRead, AsyncReadExt};

/// A log line is cut here.
const LONGEST_LINE: usize = 8 * 1024;

/// Reads lines of bounded length.
pub(super) struct LineReader<R> {
    input: R,
    longest: usize,
    buffer: Vec<u8>,
    /// Where the next line begins in the buffer.
    start: usize,
}

impl<R: AsyncRead + Unpin> LineReader<R> {
    /// A longer line comes in pieces of this length.
    pub(super) fn new(input: R, longest: usize) -> LineReader<R> {
        LineReader { input, longest, buffer: Vec::new(), start: 0 }
    }

    /// The next line without its end; none at the end of the stream. Safe to cancel.
    pub(super) async fn next(&mut self) -> Option<Vec<u8>> {
        let mut searched = self.start;
        loop {
            if let Some(length) = self.buffer[searched..].iter().position(|byte| *byte == b'\n') {
                let end = searched + length;
                let line = self.buffer[self.start..end].to_vec();
                self.start = end + 1;
                return Some(line);
            }
            if self.buffer.len() - self.start >= self.longest {
                return self.rest();
            }
            self.buffer.drain(..self.start);
            self.start = 0;
            searched = self.buffer.len();
            self.buffer.reserve(16 * 1024);
            match self.input.read_buf(&mut self.buffer).await {
                Ok(0) | Err(_) => return self.rest(),
                Ok(_) => {}
            }
        }
    }

    /// Bytes that are no lines, `most` of them at most; none at the end of the stream. Safe to cancel.
    pub(super) async fn bytes(&mut self, most: usize) -> Option<Vec<u8>> {
        if self.start == self.buffer.len() {
            self.buffer.clear();
            self.start = 0;
            self.buffer.reserve(64 * 1024);
            if matches!(self.input.read_buf(&mut self.buffer).await, Ok(0) | Err(_)) {
                return None;
            }
        }
        let end = self.buffer.len().min(self.start.saturating_add(most));
        let bytes = self.buffer[self.start..end].to_vec();
        self.start = end;
        Some(bytes)
    }

    fn rest(&mut self) -> Option<Vec<u8>> {
        let rest = self.buffer.split_off(self.start);
        self.buffer.clear();
        self.start = 0;
        (!rest.is_empty()).then_some(rest)
    }
}

/// Cuts a stream's pieces into lines for the log.
#[derive(Default)]
pub(super) struct LineCutter {
    begun: String,
    mask: Mask,
}

impl LineCutter {
    /// Lines without what this masks.
    pub(super) fn new(mask: Mask) -> LineCutter {
        LineCutter { begun: String::new(), mask }
    }

    /// The lines that `text` completes.
    pub(super) fn push(&mut self, text: &str) -> Vec<String> {
        let mut lines = Vec::new();
        for piece in text.split_inclusive('\n') {
            match piece.strip_suffix('\n') {
                Some(end) => {
                    self.begun.push_str(end);
                    lines.push(self.mask.text(as_shown(&std::mem::take(&mut self.begun))));
                }
                None => self.begin(piece),
            }
            // A secret that begins before the cut is there as a whole, and masked.
            while self.begun.len() > LONGEST_LINE + self.mask.longest() {
                self.begun = self.mask.text(std::mem::take(&mut self.begun));
                if self.begun.len() <= LONGEST_LINE {
                    break;
                }
                let rest = self.begun.split_off(self.begun.floor_char_boundary(LONGEST_LINE));
                lines.push(as_shown(&std::mem::replace(&mut self.begun, rest)));
            }
        }
        lines
    }

    /// A progress bar draws itself again and again without ever ending its line: what it drew before is gone.
    fn begin(&mut self, piece: &str) {
        self.begun.push_str(piece);
        let drawn = self.begun.trim_end_matches('\r');
        if let Some(over) = drawn.rfind('\r') {
            self.begun.drain(..=over);
        }
    }

    /// The line that was begun and never ended.
    pub(super) fn finish(&mut self) -> Option<String> {
        let rest = self.mask.text(as_shown(&std::mem::take(&mut self.begun)));
        (!rest.is_empty()).then_some(rest)
    }
}

/// A terminal shows what comes after the last carriage return: progress bars redraw themselves so.
fn as_shown(line: &str) -> String {
    let line = line.trim_end_matches('\r');
    plain(line.rsplit('\r').next().unwrap_or(line))
}

/// A text without what tells terminals of colours and cursors (ECMA-48), and without other control characters.
pub(super) fn plain(text: &str) -> String {
    if !text.contains(|c: char| c.is_control() && c != '\t' && c != '\n') {
        return text.to_owned();
    }
    let mut plain = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\x1b' => match characters.next_if(|c| !c.is_control()) {
                // Parameters and intermediate bytes, then one that ends it.
                Some('[') => {
                    while characters.next_if(|c| (' '..='?').contains(c)).is_some() {}
                    characters.next_if(|c| ('@'..='~').contains(c));
                }
                // A string, as a window's title or a link, up to a bell or to what ends strings.
                Some(']' | 'P' | 'X' | '^' | '_') => {
                    while let Some(c) = characters.next_if(|c| *c != '\n') {
                        if c == '\x07' {
                            break;
                        }
                        if c == '\x1b' {
                            characters.next_if_eq(&'\\');
                            break;
                        }
                    }
                }
                // As the choice of a character set.
                Some(' '..='/') => drop(characters.next_if(|c| ('0'..='~').contains(c))),
                _ => {}
            },
            '\x08' => drop(plain.pop()),
            '\t' | '\n' => plain.push(character),
            _ if character.is_control() => {}
            _ => plain.push(character),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn reads_lines_and_cuts_endless_ones() {
        let text = b"one\n\ntwo\nthis one has no end";
        let mut lines = LineReader::new(&text[..], 1_000);
        let mut seen = Vec::new();
        while let Some(line) = lines.next().await {
            seen.push(String::from_utf8(line).unwrap());
        }
        assert_eq!(seen, ["one", "", "two", "this one has no end"]);

        let endless = vec![b'x'; 1 << 20];
        let mut lines = LineReader::new(&endless[..], 4_096);
        let mut total = 0;
        while let Some(line) = lines.next().await {
            assert!(line.len() < 4_096 + 64 * 1024);
            total += line.len();
        }
        assert_eq!(total, endless.len());
    }

    #[tokio::test]
    async fn bytes_stand_between_lines() {
        let mut text = b"one\n".to_vec();
        text.extend(std::iter::repeat_n(b'\n', 200_000));
        text.extend(b"two\n");
        let mut lines = LineReader::new(&text[..], 1_000);
        assert_eq!(lines.next().await.as_deref(), Some(&b"one"[..]));
        let mut left = 200_000;
        while left > 0 {
            let bytes = lines.bytes(left).await.unwrap();
            assert!(bytes.iter().all(|byte| *byte == b'\n'));
            left -= bytes.len();
        }
        assert_eq!(lines.next().await.as_deref(), Some(&b"two"[..]));
        assert_eq!(lines.bytes(1).await, None);
    }

    #[test]
    fn pieces_become_lines() {
        let mut cutter = LineCutter::default();
        assert!(cutter.push("half a ").is_empty());
        assert_eq!(cutter.push("line\nnext\r\n 10%\r 90%\r100%\nrest"), ["half a line", "next", "100%"]);
        assert_eq!(cutter.finish().as_deref(), Some("rest"));
        assert_eq!(cutter.finish(), None);
        assert_eq!(cutter.push(&"é".repeat(10_000)).len(), 2);
    }

    #[test]
    fn progress_bars_are_folded() {
        let mut cutter = LineCutter::default();
        for step in 0..5_000 {
            assert!(cutter.push(&format!("\r{step:4}|{:<60}|", "#".repeat(step / 100))).is_empty());
        }
        assert!(cutter.begun.len() < 200);
        assert_eq!(cutter.finish().unwrap(), format!("4999|{:<60}|", "#".repeat(49)));
        assert!(cutter.push("\r 1%").is_empty());
        assert_eq!(cutter.push("\r 100%\r\n"), [" 100%"]);
        assert_eq!(cutter.push("12%\x08\x08\x0813%\n"), ["13%"]);
    }

    #[test]
    fn what_is_for_terminals_is_left_out() {
        for (text, shown) in [
            ("\x1b[1;31mError\x1b[0m: \x1b[38;5;12mblue\x1b[39m", "Error: blue"),
            ("\x1b]8;;https://example.com\x1b\\link\x1b]8;;\x07 on", "link on"),
            ("\x1b(B\x1b[?25lhidden cursor\x1b[K", "hidden cursor"),
            ("a\tb\nc\x00\x7fd", "a\tb\ncd"),
            ("no end \x1b[", "no end "),
            ("no end \x1b", "no end "),
            ("größer", "größer"),
        ] {
            assert_eq!(plain(text), shown);
        }
    }
}
