//! The artifact store: a folder that belongs to one installation, and says to which.
//!
//! Runs leave files there whose names only the store knows. A folder of another installation would be read as if it
//! were empty, and what two installations put there nobody could tell apart again. So a file in it has the
//! installation's id, as the store has it. Another file has an id of the folder's own, by which the processes of a fleet
//! see whether they share it.

use std::collections::BTreeMap;
use std::path::Path as FilePath;
use std::str::FromStr;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use futures::TryStreamExt;
use isochrone_domain::{ArtifactsId, IdError, InstallationId, RunId};
use isochrone_store::{Present, Store};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode};

use super::make_private_dir;

/// The folders that Isochrone writes in.
const RUNS: &str = "runs";
const UPLOADS: &str = "uploads";

/// The file that says whose the folder is.
const ID_FILE: &str = "isochrone-installation";
/// The file that says which folder it is.
const FOLDER_ID_FILE: &str = "isochrone-artifacts";
/// The id and an end of line.
const LONGEST_ID: u64 = 64;

/// Of so many runs in a folder of unknown origin one must be this store's.
const LOOKED_AT: usize = 1_000;

/// Opens the folder `dir` for the installation `own`, which is that of `store`.
///
/// # Errors
/// Where it is another installation's, or holds what this store knows nothing of.
pub(super) async fn open(
    dir: &FilePath,
    store: &dyn Store,
    own: InstallationId,
) -> Result<(Arc<dyn ObjectStore>, ArtifactsId)> {
    make_private_dir(dir)?;
    let artifacts = LocalFileSystem::new_with_prefix(dir).context("the folder for artifacts")?;
    // What a finished run lists must be there after a power failure.
    let artifacts: Arc<dyn ObjectStore> = Arc::new(artifacts.with_fsync(true));
    belongs(&*artifacts, store, own, dir).await?;
    let id = folder_id(&*artifacts).await.with_context(|| dir.join(FOLDER_ID_FILE).display().to_string())?;
    Ok((artifacts, id))
}

/// Which folder it is; whoever opens a new one decides that.
async fn folder_id(artifacts: &dyn ObjectStore) -> Result<ArtifactsId> {
    let path = Path::from(FOLDER_ID_FILE);
    if let Some(id) = read_id(artifacts, &path, "folder's").await? {
        return Ok(id);
    }
    let new = format!("{}\n", ArtifactsId::random());
    match artifacts.put_opts(&path, new.into(), PutMode::Create.into()).await {
        Ok(_) | Err(object_store::Error::AlreadyExists { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    read_id(artifacts, &path, "folder's").await?.context("it was there a moment ago")
}

/// The names of the processes that keep artifacts, by the folder that they keep them in: what one of them keeps, those of
/// another folder don't find.
pub(crate) fn folders_of(members: &[Present]) -> BTreeMap<ArtifactsId, Vec<&str>> {
    let mut folders: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for Present { member, .. } in members {
        if let Some(folder) = member.artifacts {
            folders.entry(folder).or_default().push(&*member.name);
        }
    }
    folders
}

async fn belongs(
    artifacts: &dyn ObjectStore,
    store: &dyn Store,
    own: InstallationId,
    dir: &FilePath,
) -> Result<()> {
    let (shown, file) = (dir.display(), dir.join(ID_FILE));
    let id_file = Path::from(ID_FILE);
    let mut owner: Option<InstallationId> = read_id(artifacts, &id_file, "installation's")
        .await
        .with_context(|| format!("artifacts.dir: {}", file.display()))?;
    if owner.is_none() {
        if is_empty(artifacts).await? {
            tracing::debug!(dir = %shown, installation = %own, "the artifacts' folder is new");
        } else if has_what_is_known(artifacts, store).await? {
            tracing::info!(dir = %shown, installation = %own, "the artifacts' folder had no installation's id; it has \
                           artifacts of this one's runs, and belongs to it from now on");
        } else {
            bail!(
                "artifacts.dir: {shown} holds files, and this store (installation {own}) knows none of its runs: set \
                 artifacts.dir to an empty folder, or --data-dir, redis.url or redis.prefix to the store that the files \
                 belong to, or, if that is this one, write the line {own} into {}",
                file.display()
            );
        }
        let id = format!("{own}\n");
        match artifacts.put_opts(&id_file, id.into(), PutMode::Create.into()).await {
            Ok(_) => return Ok(()),
            // Another process was quicker.
            Err(object_store::Error::AlreadyExists { .. }) => {
                owner = read_id(artifacts, &id_file, "installation's").await?;
            }
            Err(error) => return Err(error).context("the folder for artifacts"),
        }
    }
    match owner {
        Some(owner) if owner != own => bail!(
            "artifacts.dir: {shown} has the artifacts of another installation (its {ID_FILE} says {owner}, and this store's \
             installation is {own}): set artifacts.dir to a folder of this installation's own, or --data-dir, redis.url or \
             redis.prefix to that one's store"
        ),
        _ => Ok(()),
    }
}

/// The id in a file. None: there is no such file.
async fn read_id<Id: FromStr<Err = IdError>>(
    artifacts: &dyn ObjectStore,
    file: &Path,
    whose: &str,
) -> Result<Option<Id>> {
    let found = match artifacts.get(file).await {
        Ok(found) => found,
        Err(object_store::Error::NotFound { .. }) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    if found.meta.size > LONGEST_ID {
        bail!("it holds no {whose} id: it is too long");
    }
    let bytes = found.bytes().await?;
    let id = std::str::from_utf8(&bytes).map(str::trim).unwrap_or_default();
    Ok(Some(id.parse().with_context(|| format!("it holds no {whose} id"))?))
}

/// What else lies there, such as a volume's `lost+found`, is never looked at.
async fn is_empty(artifacts: &dyn ObjectStore) -> Result<bool> {
    for folder in [RUNS, UPLOADS] {
        if artifacts.list(Some(&Path::from(folder))).try_next().await?.is_some() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether something in it is of a run of this store.
async fn has_what_is_known(artifacts: &dyn ObjectStore, store: &dyn Store) -> Result<bool> {
    for folder in folders(artifacts, RUNS).await? {
        if let Ok(run) = folder.parse::<RunId>()
            && store.run(run).await?.is_some()
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The names of some folders in a folder.
async fn folders(artifacts: &dyn ObjectStore, parent: &str) -> Result<Vec<String>> {
    let listed = artifacts.list_with_delimiter(Some(&Path::from(parent))).await?;
    let names = listed.common_prefixes.iter().filter_map(|folder| folder.filename().map(str::to_owned));
    Ok(names.take(LOOKED_AT).collect())
}
