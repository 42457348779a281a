//! A part of ArcGIS's query language: words and `field:word`, quotes, `AND` (also between terms that stand side by
//! side), `OR`, `NOT` and `-`, parentheses, `*` at a word's end.

use isochrone_domain::Item;

/// More terms than any client builds.
const MOST_TERMS: usize = 200;
const DEEPEST: usize = 20;

/// What a search asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Query {
    All(Vec<Query>),
    Any(Vec<Query>),
    Not(Box<Query>),
    Term(Term),
}

/// Text that a field has; without a field any of those for people.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Term {
    field: Option<String>,
    /// In lower case, without the `*`.
    text: String,
    /// It ended with `*`.
    open: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Open,
    Close,
    Minus,
    /// With its field, as in `title:chart`.
    Word(Option<String>, String),
    Quoted(Option<String>, String),
}

impl Query {
    /// Reads a query; none at all finds everything. The error goes on after the parameter's name.
    pub(super) fn parse(text: &str) -> Result<Query, &'static str> {
        let tokens = tokens(text)?;
        let mut rest = tokens.as_slice();
        let query = any(&mut rest, 0)?;
        if rest.is_empty() { Ok(query) } else { Err("has a ')' without its '('") }
    }

    /// Whether the item is among what is asked for.
    pub(super) fn finds(&self, item: &Item) -> bool {
        match self {
            Query::All(parts) => parts.iter().all(|part| part.finds(item)),
            Query::Any(parts) => parts.iter().any(|part| part.finds(item)),
            Query::Not(part) => !part.finds(item),
            Query::Term(term) => term.finds(item),
        }
    }
}

impl Term {
    fn finds(&self, item: &Item) -> bool {
        let details = &item.details;
        let people = || {
            let texts = [Some(&item.title), details.description.as_ref(), details.snippet.as_ref()];
            texts.into_iter().flatten().chain(&details.tags)
        };
        match self.field.as_deref() {
            None => self.within(&item.kind) || people().any(|text| self.within(text)),
            Some("id") => self.is(&item.id.to_string()),
            Some("owner") => self.is(&item.owner),
            Some("type") => self.is(&item.kind),
            Some("title") => self.within(&item.title),
            Some("tags") => details.tags.iter().any(|tag| self.is(tag)),
            Some("typekeywords") => details.type_keywords.iter().any(|word| self.is(word)),
            Some("description") => details.description.iter().any(|text| self.within(text)),
            Some("snippet") => details.snippet.iter().any(|text| self.within(text)),
            Some("access") => self.is(item.access.name()),
            // All items are of the one organization.
            Some("orgid" | "accountid") => true,
            Some(_) => false,
        }
    }

    /// The whole field is the text.
    fn is(&self, field: &str) -> bool {
        let field = field.to_lowercase();
        if self.open { field.starts_with(&self.text) } else { field == self.text }
    }

    /// The text stands in the field, as whole words.
    fn within(&self, field: &str) -> bool {
        let field = field.to_lowercase();
        let edge = |letter: Option<char>| letter.is_none_or(|letter| !letter.is_alphanumeric());
        field.match_indices(&self.text).any(|(at, found)| {
            let after = field[at + found.len()..].chars().next();
            edge(field[..at].chars().next_back()) && (self.open || edge(after))
        })
    }
}

fn tokens(text: &str) -> Result<Vec<Token>, &'static str> {
    let (mut tokens, mut rest) = (Vec::new(), text.trim_start());
    while let Some(first) = rest.chars().next() {
        if tokens.len() == MOST_TERMS {
            return Err("has too many terms");
        }
        let token;
        (token, rest) = match first {
            '(' => (Token::Open, &rest[1..]),
            ')' => (Token::Close, &rest[1..]),
            '-' => (Token::Minus, &rest[1..]),
            _ => word(rest)?,
        };
        tokens.push(token);
        rest = rest.trim_start();
    }
    Ok(tokens)
}

/// A word or a quoted text, perhaps with its field.
fn word(text: &str) -> Result<(Token, &str), &'static str> {
    let end = |text: &str| {
        text.find(|letter: char| letter.is_whitespace() || "():\"".contains(letter)).unwrap_or(text.len())
    };
    let (field, rest) = match text[end(text)..].strip_prefix(':') {
        Some(rest) if end(text) > 0 => (Some(text[..end(text)].to_lowercase()), rest),
        _ => (None, text),
    };
    if let Some(quoted) = rest.strip_prefix('"') {
        let close = quoted.find('"').ok_or("has a quotation mark without its other one")?;
        return Ok((Token::Quoted(field, quoted[..close].to_owned()), &quoted[close + 1..]));
    }
    // A lone mark is a word of itself.
    let length = end(rest).max(rest.chars().next().filter(|_| field.is_none()).map_or(0, char::len_utf8));
    Ok((Token::Word(field, rest[..length].to_owned()), &rest[length..]))
}

fn is_word(token: Option<&Token>, word: &str) -> bool {
    matches!(token, Some(Token::Word(None, text)) if text == word)
}

fn any(rest: &mut &[Token], depth: usize) -> Result<Query, &'static str> {
    if depth > DEEPEST {
        return Err("has too many parentheses");
    }
    let mut parts = vec![all(rest, depth)?];
    while is_word(rest.first(), "OR") {
        *rest = &rest[1..];
        parts.push(all(rest, depth)?);
    }
    Ok(if parts.len() == 1 { parts.remove(0) } else { Query::Any(parts) })
}

fn all(rest: &mut &[Token], depth: usize) -> Result<Query, &'static str> {
    let mut parts = Vec::new();
    while let Some(token) = rest.first() {
        if *token == Token::Close || is_word(Some(token), "OR") {
            break;
        }
        if is_word(Some(token), "AND") {
            *rest = &rest[1..];
            continue;
        }
        parts.push(one(rest, depth)?);
    }
    Ok(if parts.len() == 1 { parts.remove(0) } else { Query::All(parts) })
}

fn one(rest: &mut &[Token], depth: usize) -> Result<Query, &'static str> {
    let Some((token, after)) = rest.split_first() else { return Ok(Query::All(Vec::new())) };
    *rest = after;
    Ok(match token {
        // As deep as there are terms, at most.
        Token::Minus => Query::Not(Box::new(one(rest, depth)?)),
        word if is_word(Some(word), "NOT") => Query::Not(Box::new(one(rest, depth)?)),
        Token::Open => {
            let inner = any(rest, depth + 1)?;
            *rest = rest.strip_prefix(&[Token::Close]).ok_or("has a '(' without its ')'")?;
            inner
        }
        Token::Close => return Err("has a ')' without its '('"),
        Token::Word(field, text) => {
            let text = text.to_lowercase();
            let open = text.ends_with('*');
            let text = text.trim_end_matches('*').to_owned();
            Query::Term(Term { field: field.clone(), text, open })
        }
        Token::Quoted(field, text) => {
            Query::Term(Term { field: field.clone(), text: text.to_lowercase(), open: false })
        }
    })
}

#[cfg(test)]
mod tests {
    use isochrone_domain::{Access, EpochMillis, ItemDetails, ItemId, ItemVersion, UnknownFields};

    use super::*;

    fn chart() -> Item {
        Item {
            id: ItemId::from_bytes([7; 16]),
            owner: "Ann".to_owned(),
            access: Access::Org,
            title: "Monthly Chart of rain".to_owned(),
            kind: "Notebook".to_owned(),
            size: 0,
            created: EpochMillis(0),
            modified: EpochMillis(0),
            content: ItemVersion::default(),
            version: 0,
            unknown: UnknownFields::NONE,
            details: ItemDetails { tags: vec!["Rain Fall".to_owned()], ..ItemDetails::default() },
        }
    }

    #[test]
    fn finds_what_is_asked_for() {
        for (query, found) in [
            ("", true),
            ("*", true),
            ("rain", true),
            ("rai", false),
            ("rai*", true),
            ("monthly chart", true),
            ("\"chart of\"", true),
            ("\"of chart\"", false),
            ("chart snow", false),
            ("chart OR snow", true),
            ("snow OR (chart AND owner:ann)", true),
            ("chart NOT rain", false),
            ("chart -owner:bob", true),
            ("title:chart AND type:\"Notebook\" AND orgid:0123", true),
            ("type:Note", false),
            ("tags:\"rain fall\"", true),
            ("tags:rain", false),
            ("id:07070707070707070707070707070707", true),
            ("nofield:chart", false),
            ("(title:chart AND owner:Ann) AND (type:\"Notebook\" OR type:\"Code\")", true),
        ] {
            let query_read = Query::parse(query).expect(query);
            assert_eq!(query_read.finds(&chart()), found, "{query}: {query_read:?}");
        }
    }

    #[test]
    fn tells_what_it_can_not_read() {
        for query in ["(chart", "chart)", "\"chart", "title:\"chart"] {
            assert!(Query::parse(query).is_err(), "{query}");
        }
        assert!(Query::parse(&"(".repeat(500)).is_err());
        assert!(Query::parse(&"-".repeat(150)).is_ok());
        assert!(Query::parse(&"a ".repeat(500)).is_err());
        for odd in [":", ":a", "a:", "::", "*", "-", "OR", "AND AND", "a:*", "\u{130}:\u{df}*"] {
            // Whatever they mean, they do no harm.
            let _ = Query::parse(odd).map(|query| query.finds(&chart()));
        }
    }
}
