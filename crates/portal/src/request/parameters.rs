//! A request's parameters: names and texts.

use std::fmt;

use bytes::Bytes;

use crate::answer::Failure;
use crate::items::uploads::StoredUpload;

/// More are refused: no operation has as many.
const MOST: usize = 100;

/// A request's parameters, each name once; and the one file that a multipart body may have.
#[derive(Default)]
pub(crate) struct Parameters(Vec<(String, String)>, Option<Upload>);

/// Names only: passwords and tokens are among the values.
impl fmt::Debug for Parameters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

/// A file that a request brought.
#[derive(Debug)]
pub(crate) enum Upload {
    InMemory(Bytes),
    Stored(StoredUpload),
}

impl Upload {
    /// Its size in bytes.
    pub(crate) fn size(&self) -> u64 {
        match self {
            Upload::InMemory(bytes) => bytes.len() as u64,
            Upload::Stored(stored) => stored.size(),
        }
    }

    /// Its bytes, all in memory.
    pub(crate) async fn bytes(&self) -> Result<Vec<u8>, Failure> {
        match self {
            Upload::InMemory(bytes) => Ok(bytes.to_vec()),
            Upload::Stored(stored) => stored.bytes().await,
        }
    }
}

impl Parameters {
    /// Adds a parameter of one place (the query or the body), where each name may stand once.
    pub(crate) fn add(&mut self, name: String, value: String) -> Result<(), Failure> {
        if let Some(bad) = [&name, &value].into_iter().find(|text| text.contains('\0')) {
            let name = if bad == &name { "A parameter's name".to_owned() } else { quoted(&name) };
            return Err(Failure::new(400, format!("{name} has a NUL character.")).with_detail(name));
        }
        let name = canonical(name);
        if self.get(&name).is_some() {
            let message = format!("{} is given more than once.", quoted(&name));
            return Err(Failure::new(400, message).with_detail(shortened(&name)));
        }
        self.0.push((name, value));
        self.check_count()
    }

    /// These, and of `others` those whose name is not among them.
    pub(crate) fn over(mut self, others: Parameters) -> Result<Parameters, Failure> {
        for (name, value) in others.0 {
            if self.get(&name).is_none() {
                self.0.push((name, value));
            }
        }
        self.check_count()?;
        Ok(self)
    }

    /// Adds the file.
    pub(crate) fn add_upload(&mut self, upload: Upload) -> Result<(), Failure> {
        match self.1.replace(upload) {
            None => Ok(()),
            Some(_) => Err(Failure::new(400, "The body has more than one file.")),
        }
    }

    /// The file in the body.
    pub(crate) fn upload(&self) -> Option<&Upload> {
        self.1.as_ref()
    }

    fn check_count(&self) -> Result<(), Failure> {
        if self.0.len() <= MOST {
            return Ok(());
        }
        Err(Failure::new(400, format!("The request has more than {MOST} parameters.")))
    }

    /// The parameter's text as it was sent.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(given, _)| given == name).map(|(_, value)| value.as_str())
    }

    /// The parameter's text; an empty one is none.
    pub(crate) fn given(&self, name: &str) -> Option<&str> {
        self.get(name).filter(|value| !value.is_empty())
    }

    /// A name that was sent and differs from `name` in its case only.
    pub(crate) fn miscased(&self, name: &str) -> Option<&str> {
        self.names().find(|given| *given != name && given.eq_ignore_ascii_case(name))
    }

    /// The names in the order in which they were sent.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }
}

/// createTask's reference writes `taskURL`, the clients' update writes `taskUrl`.
fn canonical(name: String) -> String {
    if name.eq_ignore_ascii_case("taskURL") { "taskURL".to_owned() } else { name }
}

fn quoted(name: &str) -> String {
    format!("'{}'", shortened(name))
}

/// At most 60 characters, so that a message stays readable whatever was sent.
pub(crate) fn shortened(text: &str) -> String {
    match text.char_indices().nth(60) {
        Some((cut, _)) => format!("{}...", &text[..cut]),
        None => text.to_owned(),
    }
}
