//! Files on their way to items. They wait in the artifact store: while they come, and in parts until they are committed.
//!
//! `uploads/incoming/` has what comes now, `uploads/parts/<owner>/` what waits for a commit. Both are in pieces, whose
//! names are in the order of the bytes. What a process that died left is swept after a day.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::TryStreamExt;
use isochrone_domain::{ItemId, RunId};
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};
use sha2::{Digest, Sha256};

use crate::answer::Failure;
use crate::request::Upload;

const ROOT: &str = "uploads";

/// A file is written in pieces of this size, in bytes.
const PIECE: usize = 1 << 20;

/// How long what is not committed waits.
const KEPT: Duration = Duration::from_hours(24);

/// Between two sweeps.
const EVERY: Duration = Duration::from_hours(1);

/// Files in the artifact store that are no items' yet.
#[derive(Clone, Debug)]
pub(crate) struct Uploads {
    artifacts: Arc<dyn ObjectStore>,
}

/// A file that comes. What came of it is deleted if it is not finished.
#[derive(Debug)]
pub(crate) struct Incoming {
    pieces: Pieces,
    buffer: BytesMut,
}

/// A file that came; deleted with this.
#[derive(Debug)]
pub(crate) struct StoredUpload(Pieces);

#[derive(Debug)]
struct Pieces {
    artifacts: Arc<dyn ObjectStore>,
    /// What their names begin with.
    name: String,
    count: u32,
    size: u64,
}

/// A part that waits, as it lies in the store.
#[derive(Clone, Debug)]
pub(crate) struct Waiting {
    pub item: ItemId,
    /// The part's number.
    pub number: u32,
    pub size: u64,
    path: Path,
}

impl Uploads {
    pub(crate) fn new(artifacts: Arc<dyn ObjectStore>) -> Uploads {
        Uploads { artifacts }
    }

    /// A file that is to come.
    pub(crate) fn begin(&self) -> Incoming {
        let name = RunId::random().to_string();
        let pieces = Pieces { artifacts: Arc::clone(&self.artifacts), name, count: 0, size: 0 };
        Incoming { pieces, buffer: BytesMut::new() }
    }

    /// Keeps a file as the part of an item with this number, in place of the one that there was.
    pub(crate) async fn keep_part(
        &self,
        owner: &str,
        item: ItemId,
        number: u32,
        upload: &Upload,
    ) -> Result<(), Failure> {
        let waiting = self.waiting_of(owner).await?;
        for old in waiting.iter().filter(|old| (old.item, old.number) == (item, number)) {
            self.artifacts.delete(&old.path).await?;
        }
        let folder = folder_of(owner);
        let to = |piece: u32| folder.clone().join(format!("{item}-{number:05}-{piece:05}"));
        match upload {
            Upload::InMemory(bytes) => {
                self.artifacts.put(&to(0), bytes.clone().into()).await?;
            }
            Upload::Stored(StoredUpload(pieces)) => {
                for piece in 0..pieces.count {
                    self.artifacts.rename(&pieces.path(piece), &to(piece)).await?;
                }
            }
        }
        Ok(())
    }

    /// What waits of an owner, in the order of its bytes.
    pub(crate) async fn waiting_of(&self, owner: &str) -> Result<Vec<Waiting>, Failure> {
        Ok(self.list(&folder_of(owner)).await?.into_iter().filter_map(Waiting::of).collect())
    }

    /// How much waits of all owners, in bytes.
    pub(crate) async fn waiting(&self) -> Result<u64, Failure> {
        let all = self.list(&Path::from_iter([ROOT, "parts"])).await?;
        Ok(all.iter().map(|part| part.size).sum())
    }

    /// The bytes of some parts together.
    pub(crate) async fn read(&self, parts: &[Waiting]) -> Result<Vec<u8>, Failure> {
        let size: u64 = parts.iter().map(|part| part.size).sum();
        let mut data = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
        for part in parts {
            data.extend_from_slice(&self.artifacts.get(&part.path).await?.bytes().await?);
        }
        Ok(data)
    }

    /// Deletes what waits of an item. A problem is one for the log, and for the sweep.
    pub(crate) async fn forget(&self, owner: &str, item: ItemId) {
        let forgetting = async {
            for part in self.waiting_of(owner).await?.into_iter().filter(|part| part.item == item) {
                self.artifacts.delete(&part.path).await?;
            }
            Ok::<_, Failure>(())
        };
        if forgetting.await.is_err() {
            tracing::warn!(%item, "parts of an item's file are left");
        }
    }

    async fn list(&self, folder: &Path) -> Result<Vec<ObjectMeta>, Failure> {
        let mut found: Vec<_> = self.artifacts.list(Some(folder)).try_collect().await?;
        found.sort_by(|one, other| one.location.cmp(&other.location));
        Ok(found)
    }

    /// Deletes what has waited for longer than it may.
    async fn sweep(&self, now: isochrone_domain::EpochMillis) -> object_store::Result<()> {
        let found: Vec<_> = self.artifacts.list(Some(&Path::from(ROOT))).try_collect().await?;
        let kept = i64::try_from(KEPT.as_millis()).unwrap_or(i64::MAX);
        let mut swept = 0_u64;
        for upload in found {
            if upload.last_modified.timestamp_millis() < now.0 - kept {
                self.artifacts.delete(&upload.location).await?;
                swept += 1;
            }
        }
        if swept > 0 {
            tracing::info!(pieces = swept, "uploads that nobody committed were deleted");
        }
        Ok(())
    }
}

/// Sweeps now and every hour, for ever.
pub async fn sweep_uploads(artifacts: Arc<dyn ObjectStore>) {
    let uploads = Uploads::new(artifacts);
    loop {
        // Files have the system's time, whatever clock the store has.
        if let Err(error) = uploads.sweep(isochrone_store::Clock::SYSTEM.now()).await {
            tracing::warn!(%error, "old uploads could not be deleted");
        }
        tokio::time::sleep(EVERY).await;
    }
}

/// An owner's name can be any text of a real portal's.
fn folder_of(owner: &str) -> Path {
    let digest = Sha256::digest(owner.to_lowercase().as_bytes());
    let mut name = String::new();
    for byte in &digest[..16] {
        write!(name, "{byte:02x}").expect("text takes text");
    }
    Path::from_iter([ROOT, "parts", &name])
}

impl Waiting {
    fn of(found: ObjectMeta) -> Option<Waiting> {
        let mut name = found.location.filename()?.split('-');
        let (item, number) = (name.next()?.parse().ok()?, name.next()?.parse().ok()?);
        Some(Waiting { item, number, size: found.size, path: found.location })
    }
}

impl Incoming {
    /// Adds bytes.
    pub(crate) async fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= PIECE {
            self.put().await?;
        }
        Ok(())
    }

    /// The file is complete.
    pub(crate) async fn finish(mut self) -> Result<StoredUpload, Failure> {
        if !self.buffer.is_empty() {
            self.put().await?;
        }
        Ok(StoredUpload(self.pieces))
    }

    async fn put(&mut self) -> Result<(), Failure> {
        let piece = self.buffer.split().freeze();
        let size = piece.len() as u64;
        let path = self.pieces.path(self.pieces.count);
        // Counted first: one that was half written has to be deleted, too.
        self.pieces.count += 1;
        self.pieces.artifacts.put(&path, piece.into()).await?;
        self.pieces.size += size;
        Ok(())
    }
}

impl StoredUpload {
    /// In bytes.
    pub(crate) fn size(&self) -> u64 {
        self.0.size
    }

    /// Its bytes, all in memory.
    pub(crate) async fn bytes(&self) -> Result<Vec<u8>, Failure> {
        let mut data = Vec::with_capacity(usize::try_from(self.0.size).unwrap_or(0));
        for piece in 0..self.0.count {
            let piece: Bytes = self.0.artifacts.get(&self.0.path(piece)).await?.bytes().await?;
            data.extend_from_slice(&piece);
        }
        Ok(data)
    }
}

impl Pieces {
    fn path(&self, piece: u32) -> Path {
        Path::from_iter([ROOT, "incoming", &format!("{}-{piece:05}", self.name)])
    }
}

impl Drop for Pieces {
    fn drop(&mut self) {
        let paths: Vec<_> = (0..self.count).map(|piece| self.path(piece)).collect();
        let artifacts = Arc::clone(&self.artifacts);
        // Without a runtime the process ends, and the next sweep deletes them.
        if let (Ok(runtime), false) = (tokio::runtime::Handle::try_current(), paths.is_empty()) {
            runtime.spawn(async move {
                for path in paths {
                    // Pieces that became a part are not there any more.
                    drop(artifacts.delete(&path).await);
                }
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use isochrone_domain::EpochMillis;
    use object_store::memory::InMemory;

    use super::*;

    async fn names(uploads: &Uploads) -> Vec<String> {
        let found = uploads.list(&Path::from(ROOT)).await.expect("a list");
        found.into_iter().map(|found| found.location.to_string()).collect()
    }

    async fn stored(uploads: &Uploads, bytes: &[u8]) -> StoredUpload {
        let mut incoming = uploads.begin();
        for chunk in bytes.chunks(100_000) {
            incoming.write(chunk).await.expect("written");
        }
        incoming.finish().await.expect("written")
    }

    /// Deletions go on behind a drop.
    async fn until_there_are(uploads: &Uploads, count: usize) {
        for _ in 0..200 {
            if names(uploads).await.len() == count {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{:?} instead of {count}", names(uploads).await);
    }

    #[tokio::test]
    async fn parts_wait_in_pieces_until_they_are_forgotten() {
        let uploads = Uploads::new(Arc::new(InMemory::new()));
        let (item, other) = (ItemId::random(), ItemId::random());
        let bytes: Vec<u8> = (0..2_500_000_u32).map(|number| (number % 253) as u8).collect();
        for (number, upload) in [
            (2, Upload::InMemory(Bytes::from_static(b"end"))),
            (1, Upload::InMemory(Bytes::from_static(b"replaced"))),
            (1, Upload::Stored(stored(&uploads, &bytes).await)),
        ] {
            uploads.keep_part("Ann", item, number, &upload).await.expect("kept");
        }
        uploads.keep_part("ann", other, 1, &Upload::InMemory(Bytes::from_static(b"x"))).await.expect("kept");
        let waiting = uploads.waiting_of("ann").await.expect("a list");
        let of_item: Vec<_> = waiting.into_iter().filter(|part| part.item == item).collect();
        assert_eq!(uploads.read(&of_item).await.expect("read"), [&bytes[..], b"end"].concat());
        assert_eq!(uploads.waiting().await.expect("a sum"), 2_500_004);
        assert!(uploads.waiting_of("bob").await.expect("a list").is_empty());
        uploads.forget("ann", item).await;
        until_there_are(&uploads, 1).await;
    }

    #[tokio::test]
    async fn what_is_not_kept_is_deleted() {
        let uploads = Uploads::new(Arc::new(InMemory::new()));
        let mut incoming = uploads.begin();
        incoming.write(&vec![0; 1 << 20]).await.expect("written");
        let finished = stored(&uploads, &vec![1; 3 << 20]).await;
        assert!(!names(&uploads).await.is_empty());
        drop((incoming, finished));
        until_there_are(&uploads, 0).await;
    }

    #[tokio::test]
    async fn what_nobody_commits_is_swept_after_a_day() {
        let uploads = Uploads::new(Arc::new(InMemory::new()));
        let part = Upload::InMemory(Bytes::from_static(b"x"));
        uploads.keep_part("ann", ItemId::random(), 1, &part).await.expect("kept");
        let now = isochrone_store::Clock::SYSTEM.now();
        uploads.sweep(now + Duration::from_hours(23)).await.expect("swept");
        assert_eq!(names(&uploads).await.len(), 1);
        let tomorrow: EpochMillis = now + Duration::from_hours(25);
        uploads.sweep(tomorrow).await.expect("swept");
        assert_eq!(names(&uploads).await, Vec::<String>::new());
    }
}
