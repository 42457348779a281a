//! Which environment a notebook wants: its packages, and the name that they give it.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::PoisonError;

use sha2::{Digest, Sha256};

use super::base::Base;
use super::error::EnvironmentError;
use super::folder::Folder;
use super::item::ItemRequirements;
use super::requirement::{Requirement, parse_list, parse_text};
use super::{PINS, Shared};

/// Another layout of environments, and other ways to build them, make other environments.
const LAYOUT: &str = "2";

/// The operator's file of requirements has no more bytes.
const LONGEST_FILE: u64 = 1 << 20;

/// What is wanted, and where it is.
pub(super) struct Wanted {
    pub(super) base: Base,
    pub(super) requirements: Vec<Requirement>,
    pub(super) folder: Folder,
    /// The settings or fields that name the packages.
    pub(super) origin: String,
}

impl Shared {
    /// Each run wants to know, and it takes a start of Python to find out.
    pub(super) async fn base(&self) -> Result<Base, EnvironmentError> {
        let changed = |base: &Base| fs::metadata(&base.executable).and_then(|found| found.modified()).ok();
        let known = self.known_base.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((base, _)) = known.filter(|(base, when)| changed(base) == Some(*when)) {
            return Ok(base);
        }
        let base = Base::of(&self.base).await?;
        let known = changed(&base).map(|when| (base.clone(), when));
        *self.known_base.lock().unwrap_or_else(PoisonError::into_inner) = known;
        Ok(base)
    }

    /// What a notebook with these requirements wants.
    pub(super) async fn wanted(&self, item: &ItemRequirements) -> Result<Wanted, EnvironmentError> {
        let base = self.base().await?;
        let mut requirements = parse_list("notebook.packages", &self.config.packages)?;
        requirements.extend(self.requirements_file()?);
        let settings = [
            ("[notebook] packages", !self.config.packages.is_empty()),
            ("[notebook] requirements", self.config.requirements.is_some()),
        ];
        let settings = settings.iter().filter(|(_, set)| *set).map(|(name, _)| *name);
        let origin: Vec<&str> = settings.chain(item.fields.iter().copied()).collect();
        requirements.extend(item.packages.iter().cloned());
        requirements.sort_by_cached_key(ToString::to_string);
        requirements.dedup();
        let name = self.name_of(&base, &requirements);
        let parent = self.parent().map_err(|error| self.io(&error))?;
        Ok(Wanted { folder: Folder::of(&parent, &name), origin: origin.join(" and "), base, requirements })
    }

    fn requirements_file(&self) -> Result<Vec<Requirement>, EnvironmentError> {
        let Some(file) = &self.config.requirements else { return Ok(Vec::new()) };
        let unreadable = |error: io::Error| EnvironmentError::RequirementsFile {
            file: file.display().to_string(),
            detail: error.to_string(),
        };
        let size = fs::metadata(file).map_err(unreadable)?.len();
        if size > LONGEST_FILE {
            return Err(unreadable(io::Error::other(format!("it has more than {LONGEST_FILE} bytes"))));
        }
        let text = fs::read_to_string(file).map_err(unreadable)?;
        Ok(parse_text(&format!("notebook.requirements ({})", file.display()), &text)?)
    }

    /// Another Python, other pinned packages, another platform or other requirements make another environment.
    fn name_of(&self, base: &Base, requirements: &[Requirement]) -> String {
        let sources = if self.config.allow_source_builds { "sources" } else { "wheels" };
        let mut digest = Sha256::new();
        for part in [LAYOUT, &base.key(), sources, PINS] {
            digest.update(part);
            digest.update([0]);
        }
        for requirement in requirements {
            digest.update(requirement.to_string());
            digest.update([0]);
        }
        // Notebooks may choose requirements: none may find some that have another's name.
        hex::encode(&digest.finalize()[..16])
    }

    /// The folder that environments are in, by its own name where it is there.
    pub(super) fn parent(&self) -> io::Result<PathBuf> {
        self.folder.canonicalize().or_else(|_| std::path::absolute(&self.folder))
    }

    pub(super) fn io(&self, error: &io::Error) -> EnvironmentError {
        EnvironmentError::Io { folder: self.folder.display().to_string(), detail: error.to_string() }
    }
}
