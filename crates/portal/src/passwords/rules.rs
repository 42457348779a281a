//! Which passwords are taken, wherever one is set. Who has a weaker one from before still signs in with it.

use std::collections::HashSet;
use std::sync::LazyLock;

use super::LONGEST;

/// Fewer characters are too few.
pub const SHORTEST: usize = 8;

/// Why a password is not taken. It says nothing of the password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WeakPassword {
    /// It is too short.
    #[error("a password has at least {SHORTEST} characters")]
    Short,
    /// It is too long: hashing megabytes costs the server, not the guesser.
    #[error("a password has at most {LONGEST} bytes")]
    Long,
    /// Everybody tries it.
    #[error("this password is one of those that are tried first; take another one")]
    Common,
    /// It is made of the user's name.
    #[error("this password is made of the user's name; take another one")]
    Name,
}

/// Checks a password that the user of this name shall have.
pub fn check(name: &str, password: &str) -> Result<(), WeakPassword> {
    if password.chars().count() < SHORTEST {
        return Err(WeakPassword::Short);
    }
    if password.len() > LONGEST {
        return Err(WeakPassword::Long);
    }
    let lower = password.to_lowercase();
    if is_pattern(&lower) || bases(&lower).iter().any(|base| COMMON.contains(base.as_str())) {
        return Err(WeakPassword::Common);
    }
    if of_name(&name.to_lowercase(), &lower) {
        return Err(WeakPassword::Name);
    }
    Ok(())
}

static COMMON: LazyLock<HashSet<&str>> = LazyLock::new(|| {
    let lines = include_str!("common.txt").lines().filter(|line| !line.starts_with('#'));
    lines.flat_map(str::split_whitespace).collect()
});

/// Few characters over and over, one part again and again, or characters in a row as they follow each other
/// in the alphabet, among the digits or on a keyboard.
fn is_pattern(lower: &str) -> bool {
    let letters: Vec<char> = lower.chars().collect();
    let different: HashSet<char> = letters.iter().copied().collect();
    different.len() < 4
        || repeated(lower).is_some_and(|part| part.chars().count() < SHORTEST)
        || is_walk(&letters)
}

/// The part that the text is made of, again and again.
fn repeated(text: &str) -> Option<&str> {
    let parts = (1..=text.len() / 2).filter(|length| text.len().is_multiple_of(*length));
    parts.filter_map(|length| text.get(..length)).find(|part| part.repeat(text.len() / part.len()) == text)
}

/// Whether all but a few of the characters are beside the one before: in a row of the keyboard, a column of it, the
/// alphabet or the digits.
fn is_walk(letters: &[char]) -> bool {
    const ROWS: [&str; 11] = [
        "1234567890",
        "qwertyuiop",
        "asdfghjkl",
        "zxcvbnm",
        "qwertzuiop",
        "yxcvbnm",
        "azertyuiop",
        "qsdfghjklm",
        "abcdefghijklmnopqrstuvwxyz",
        "1qaz2wsx3edc4rfv5tgb6yhn7ujm8ik9ol0p",
        "!@#$%^&*()",
    ];
    let beside = |one: char, other: char| {
        let pair: String = [one, other].iter().collect();
        let back: String = [other, one].iter().collect();
        one == other || ROWS.iter().any(|row| row.contains(&pair) || row.contains(&back))
    };
    let steps = letters.windows(2).filter(|pair| !beside(pair[0], pair[1])).count();
    steps * 4 < letters.len()
}

/// What is left of a password without what is put around words and into them.
fn bases(lower: &str) -> [String; 5] {
    let plain: String = lower.chars().map(read).collect();
    let letters = |text: &str| text.trim_matches(|letter: char| !letter.is_alphabetic()).to_owned();
    let word = letters(lower);
    // "l" and "i" look like 1 both.
    let trimmed = lower.trim_matches(|letter: char| letter.is_ascii_digit() || letter.is_ascii_punctuation());
    let as_l: String = lower.chars().map(|letter| if letter == '1' { 'l' } else { read(letter) }).collect();
    [
        lower.to_owned(),
        word,
        letters(&plain),
        letters(&trimmed.chars().map(read).collect::<String>()),
        letters(&as_l),
    ]
}

/// The letter that a digit or mark stands for.
fn read(letter: char) -> char {
    match letter {
        '0' => 'o',
        '1' | '!' => 'i',
        '3' => 'e',
        '4' | '@' => 'a',
        '5' | '$' => 's',
        '7' | '+' => 't',
        letter => letter,
    }
}

/// Whether the password is the name, one of its parts or one of those backwards, with little besides.
fn of_name(name: &str, lower: &str) -> bool {
    let plain: String = lower.chars().map(read).collect();
    let parts = name.split(['.', '_', '-', '@']).filter(|part| part.chars().count() >= 3).chain([name]);
    parts.filter(|part| !part.is_empty()).any(|part| {
        let back: String = part.chars().rev().collect();
        let read_part: String = part.chars().map(read).collect();
        [(lower, part), (lower, back.as_str()), (plain.as_str(), read_part.as_str())].iter().any(
            |(text, part)| text.contains(part) && text.replace(part, "").chars().count() < SHORTEST.min(5),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_tried_first_is_refused() {
        for weak in [
            "password",
            "Password1",
            "P@ssw0rd",
            "P@ssw0rd123!",
            "passwordpassword",
            "12345678",
            "123456789",
            "1234567890",
            "87654321",
            "11111111",
            "aaaaaaaa",
            "12121212",
            "abcabcabc",
            "abcdefgh",
            "qwertyuiop",
            "Qwertz123",
            "1qaz2wsx",
            "1q2w3e4r",
            "asdfghjkl;",
            "zaq12wsx",
            "iloveyou",
            "ILoveYou2",
            "letmein1",
            "changeme",
            "changeme123",
            "Summer2026!",
            "Winter2025",
            "welcome1",
            "Welcome2026",
            "trustno1",
            "dragon123",
            "football",
            "isochrone",
            "Isochrone1",
            "arcgis123",
            "administrator",
            "Admin123!",
            "admin2026",
            "monkey12",
            "superman",
            "00000000",
            "qwerty123",
            "password!",
            "!password",
            "10203040",
            "asdf1234",
        ] {
            assert_eq!(check("ann", weak), Err(WeakPassword::Common), "{weak}");
        }
    }

    #[test]
    fn what_is_made_of_the_name_is_refused() {
        for (name, weak) in [
            ("bobsmith", "bobsmith"),
            ("bobsmith", "BobSmith1"),
            ("bobsmith", "htimsbob"),
            ("bobsmith", "2026bobsmith"),
            ("zoe.quux", "Quux2026"),
            ("maria-lopez@example.org", "lopez123"),
            ("gunther", "gunther!?1"),
            ("gunther", "GUNTH3R1"),
            ("ana", "anaanaana1"),
        ] {
            assert!(
                matches!(check(name, weak), Err(WeakPassword::Name | WeakPassword::Common)),
                "{name}: {weak}"
            );
        }
        assert_eq!(check("bobsmith", "bobsmith"), Err(WeakPassword::Name));
    }

    #[test]
    fn length_counts_characters_below_and_bytes_above() {
        assert_eq!(check("ann", ""), Err(WeakPassword::Short));
        assert_eq!(check("ann", "1"), Err(WeakPassword::Short));
        assert_eq!(check("ann", "kJ7&vQz"), Err(WeakPassword::Short));
        assert_eq!(check("ann", "äöü€ßłø"), Err(WeakPassword::Short));
        assert_eq!(check("ann", "äöü€ßłøæ"), Ok(()));
        assert_eq!(check("ann", &"kJ7&vQz2".repeat(LONGEST / 8)), Ok(()));
        assert_eq!(check("ann", &("kJ7&vQz2".repeat(LONGEST / 8) + "x")), Err(WeakPassword::Long));
    }

    #[test]
    fn others_are_taken() {
        for good in [
            "correct horse",
            "test-only-password",
            "kJ7&vQz2",
            "site-password",
            "20241234",
            "x9#mLw2!",
            "annual report 7",
            "3f9a0c1e-77b2d4e5-90aa12bc",
            "summer rain on tin",
            "ne pas ouvrir",
        ] {
            assert_eq!(check("ann", good), Ok(()), "{good}");
        }
    }
}
