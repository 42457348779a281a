//! The variables that a cell of Python sets, read without running it. What is not understood only makes the reading
//! incomplete: it never invents a variable.

use super::{DeclaredParameter, ParameterKind};

/// What a cell sets.
pub(super) struct Cell {
    /// In the order in which they are first set.
    pub(super) parameters: Vec<DeclaredParameter>,
    /// Whether it sets no others.
    pub(super) complete: bool,
}

/// Reads the cell's source.
pub(super) fn read(source: &str) -> Cell {
    let mut cell = Cell { parameters: Vec::new(), complete: true };
    let Some(statements) = statements(source) else { return Cell { complete: false, ..cell } };
    let mut in_function = false;
    for statement in &statements {
        if !statement.indented {
            in_function =
                ["def ", "class ", "async def "].iter().any(|word| statement.text.starts_with(word));
        }
        // What a function or a class sets is its own.
        if !in_function {
            cell.take(statement);
        }
    }
    cell
}

/// One statement, without its comment.
#[derive(Debug)]
struct Statement {
    indented: bool,
    text: String,
    comment: Option<String>,
}

/// Splits a source into statements: strings, brackets and continued lines are passed over as wholes. None: a string or
/// bracket has no end.
fn statements(source: &str) -> Option<Vec<Statement>> {
    let (mut found, mut text, mut depth, mut indented) = (Vec::new(), String::new(), 0_usize, false);
    let mut letters = source.chars().peekable();
    let mut line_start = true;
    while let Some(letter) = letters.next() {
        if line_start && text.is_empty() && letter.is_whitespace() && letter != '\n' {
            indented = true;
            continue;
        }
        line_start = false;
        match letter {
            '"' | '\'' => text.push_str(&string(letter, &mut letters)?),
            '#' => {
                let mut comment = String::new();
                while let Some(letter) = letters.next_if(|letter| *letter != '\n') {
                    comment.push(letter);
                }
                if depth == 0 && !text.trim().is_empty() {
                    found.push(Statement {
                        indented,
                        text: std::mem::take(&mut text),
                        comment: Some(comment),
                    });
                }
            }
            '\\' if letters.next_if(|letter| matches!(letter, '\n' | '\r')).is_some() => text.push(' '),
            '\n' if depth > 0 => text.push(' '),
            '\n' | ';' => {
                if depth == 0 && !text.trim().is_empty() {
                    found.push(Statement { indented, text: std::mem::take(&mut text), comment: None });
                }
                if letter == '\n' {
                    (line_start, indented) = (true, false);
                }
                text.clear();
            }
            _ => {
                match letter {
                    '(' | '[' | '{' => depth += 1,
                    ')' | ']' | '}' => depth = depth.checked_sub(1)?,
                    _ => {}
                }
                text.push(letter);
            }
        }
    }
    if !text.trim().is_empty() {
        found.push(Statement { indented, text, comment: None });
    }
    (depth == 0).then_some(found)
}

/// The string that begins with this quote, with its quotes. None: it has no end.
fn string(quote: char, letters: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<String> {
    let mut text = String::from(quote);
    let mut opening = 1;
    while opening < 3 && letters.next_if_eq(&quote).is_some() {
        text.push(quote);
        opening += 1;
    }
    if opening == 2 {
        return Some(text);
    }
    let mut closing = 0;
    loop {
        let letter = letters.next()?;
        if opening == 1 && letter == '\n' {
            return None;
        }
        text.push(letter);
        if letter == '\\' {
            text.push(letters.next()?);
            closing = 0;
        } else if letter == quote {
            closing += 1;
            if closing == opening {
                return Some(text);
            }
        } else {
            closing = 0;
        }
    }
}

impl Cell {
    fn take(&mut self, statement: &Statement) {
        /// Whose bodies may set variables, or not.
        const COMPOUND: [&str; 13] = [
            "if", "elif", "else", "for", "while", "with", "try", "except", "finally", "async", "match",
            "exec", "del",
        ];
        /// What may set variables by their names, or within an expression.
        const BY_NAME: [&str; 7] =
            ["exec(", "globals(", "locals(", "get_ipython(", "setattr(", "vars(", ":="];
        let text = statement.text.trim();
        let word: String = text.chars().take_while(|letter| is_part_of_name(*letter)).collect();
        let star = ["from", "import"].contains(&word.as_str()) && text.ends_with('*');
        let magic = text.starts_with(['%', '!', '?']) || text.ends_with('?');
        if magic
            || star
            || COMPOUND.contains(&word.as_str())
            || BY_NAME.iter().any(|call| text.contains(call))
        {
            self.complete = false;
            return;
        }
        let parts = assigned(text);
        let Some((value, targets)) = parts.split_last() else { return };
        if targets.is_empty() {
            self.annotated(text);
            return;
        }
        for target in targets {
            self.target(statement, target.trim(), value.trim(), targets.len() == 1);
        }
    }

    /// `name: annotation` without a value declares one, too.
    fn annotated(&mut self, text: &str) {
        if let Some((name, annotation)) = text.split_once(':')
            && is_name(name.trim())
            && !annotation.trim().is_empty()
            && !["lambda", "class", "def"].contains(&name.trim())
        {
            let annotation = annotation.trim();
            let (kind, type_name) = (of_annotation(annotation), Some(annotation.to_owned()));
            self.set(DeclaredParameter { kind, type_name, ..DeclaredParameter::new(name.trim()) });
        }
    }

    fn target(&mut self, statement: &Statement, target: &str, value: &str, alone: bool) {
        let (name, annotation) = match target.split_once(':') {
            Some((name, annotation)) => (name.trim(), Some(annotation.trim())),
            None => (target.trim_matches(['(', ')', ' ']), None),
        };
        if is_name(name) {
            let (type_comment, help) = comment(statement.comment.as_deref());
            let type_name = annotation.map(str::to_owned).or(type_comment);
            let kind = match &type_name {
                Some(annotation) => of_annotation(annotation),
                None if statement.indented => ParameterKind::Any,
                None => of_literal(value),
            };
            self.set(DeclaredParameter {
                kind,
                type_name,
                default: Some(value.to_owned()),
                help: help.filter(|_| alone),
                ..DeclaredParameter::new(name)
            });
        } else if name.contains(',') {
            // a, (b, *c) = ...
            let names = name.split(|letter: char| !is_part_of_name(letter) && letter != '.');
            for name in names.filter(|name| is_name(name)) {
                self.set(DeclaredParameter::new(name));
            }
        }
        // Else an attribute, an element, or `+=`: no new variable.
    }

    /// The last value counts; where there were two kinds, any will do.
    fn set(&mut self, new: DeclaredParameter) {
        match self.parameters.iter_mut().find(|known| known.name == new.name) {
            Some(known) => {
                let kind = if known.kind == new.kind { new.kind } else { ParameterKind::Any };
                *known = DeclaredParameter { kind, ..new };
            }
            None => self.parameters.push(new),
        }
    }
}

/// What stands between the `=` of an assignment: its targets, and its value at last.
fn assigned(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut from = 0;
    for (at, letter) in outside(text) {
        let before = text[..at].chars().next_back().unwrap_or(' ');
        let after = text[at + letter.len_utf8()..].chars().next().unwrap_or(' ');
        if letter == '=' && after != '=' && !"=<>!:+-*/%&|^@".contains(before) {
            parts.push(&text[from..at]);
            from = at + 1;
        }
    }
    parts.push(&text[from..]);
    parts
}

/// The letters that are in no string and no bracket, with their places.
fn outside(text: &str) -> Vec<(usize, char)> {
    let (mut found, mut depth) = (Vec::new(), 0_i32);
    let mut letters = text.chars().peekable();
    let mut at = 0;
    while let Some(letter) = letters.next() {
        let mut width = letter.len_utf8();
        match letter {
            '"' | '\'' => width = string(letter, &mut letters).map_or(text.len() - at, |string| string.len()),
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth -= 1,
            _ if depth == 0 => found.push((at, letter)),
            _ => {}
        }
        at += width;
    }
    found
}

fn is_part_of_name(letter: char) -> bool {
    letter == '_' || letter.is_alphanumeric()
}

fn is_name(text: &str) -> bool {
    text.chars().next().is_some_and(|first| first == '_' || first.is_alphabetic())
        && text.chars().all(is_part_of_name)
}

/// `# type: int what it is`, as papermill reads it.
fn comment(comment: Option<&str>) -> (Option<String>, Option<String>) {
    let Some(comment) = comment.map(str::trim) else { return (None, None) };
    let (type_name, help) = match comment.strip_prefix("type:").map(str::trim) {
        Some(rest) => match rest.split_once(char::is_whitespace) {
            Some((name, help)) => (Some(name), help.trim()),
            None => (Some(rest), ""),
        },
        None => (None, comment),
    };
    let some = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    (type_name.and_then(some), some(help))
}

/// The kind that an annotation names, if it names one.
fn of_annotation(annotation: &str) -> ParameterKind {
    let text = annotation.trim_matches(['"', '\'', ' ']);
    let bare = |text: &str| text.strip_prefix("typing.").unwrap_or(text).to_owned();
    let text = bare(text);
    if let Some(inner) = text.strip_prefix("Optional[").and_then(|rest| rest.strip_suffix(']')) {
        return of_annotation(inner);
    }
    let either: Vec<&str> = text.split('|').map(str::trim).filter(|part| *part != "None").collect();
    match either[..] {
        [one] if one != text => return of_annotation(one),
        [_] => {}
        _ => return ParameterKind::Any,
    }
    match text.split('[').next().unwrap_or_default() {
        "int" => ParameterKind::Integer,
        "float" => ParameterKind::Number,
        "str" => ParameterKind::String,
        "bool" => ParameterKind::Boolean,
        "list" | "List" | "tuple" | "Tuple" | "set" | "Set" | "Sequence" | "Iterable" => ParameterKind::Array,
        "dict" | "Dict" | "Mapping" => ParameterKind::Object,
        _ => ParameterKind::Any,
    }
}

/// The kind of a literal; any for what is computed, and for None.
fn of_literal(value: &str) -> ParameterKind {
    let unsigned = value.trim_start_matches(['+', '-']).replace('_', "");
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let other_base = ["0x", "0X", "0o", "0O", "0b", "0B"].iter().any(|base| unsigned.starts_with(base))
        && unsigned.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let begins_as_number = unsigned.starts_with(|first: char| first == '.' || first.is_ascii_digit());
    if matches!(value, "True" | "False") {
        ParameterKind::Boolean
    } else if digits(&unsigned) || other_base {
        ParameterKind::Integer
    } else if begins_as_number && unsigned.parse::<f64>().is_ok() {
        ParameterKind::Number
    } else if is_string(value) {
        ParameterKind::String
    } else {
        of_brackets(value)
    }
}

/// One string or several beside each other, of text.
fn is_string(value: &str) -> bool {
    let prefix = value.trim_start_matches(|letter: char| "rRfFuU".contains(letter));
    prefix.starts_with(['"', '\'']) && outside(prefix).iter().all(|(_, letter)| letter.is_whitespace())
}

fn of_brackets(value: &str) -> ParameterKind {
    let whole = outside(value).is_empty();
    let inner = || &value[1..value.len() - 1];
    match value.chars().next() {
        Some('[') if whole => ParameterKind::Array,
        Some('(') if whole => {
            let tuple =
                inner().trim().is_empty() || outside(inner()).iter().any(|(_, letter)| *letter == ',');
            if tuple { ParameterKind::Array } else { of_literal(inner().trim()) }
        }
        Some('{') if whole => {
            let pairs =
                inner().trim().is_empty() || outside(inner()).iter().any(|(_, letter)| *letter == ':');
            if pairs { ParameterKind::Object } else { ParameterKind::Array }
        }
        _ => ParameterKind::Any,
    }
}

#[cfg(test)]
mod tests;
