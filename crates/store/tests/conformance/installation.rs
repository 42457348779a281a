//! Whose store it is.

use super::Fresh;
use super::world::World;

pub(crate) async fn has_one_id_for_ever(fresh: &impl Fresh) {
    let world = World::new(fresh).await;
    let asked = futures::future::join_all((0..20).map(|_| world.installation())).await;
    let first = *asked[0].as_ref().unwrap();
    assert!(asked.iter().all(|id| *id.as_ref().unwrap() == first), "{asked:?}");
    assert_eq!(world.installation().await.unwrap(), first);
    let other = World::new(fresh).await;
    assert_ne!(other.installation().await.unwrap(), first);
}
