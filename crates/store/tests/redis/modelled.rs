//! The conformance suite on the modelled Redis.

use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::conformance::Fresh;
use crate::store_conformance;
use async_trait::async_trait;
use isochrone_store::redis::model::{Request, Response, Server, Transport};
use isochrone_store::redis::{Options, RedisStore};
use isochrone_store::{Clock, Result, Store};

/// The way to a server of one's own, on which nothing is lost.
#[derive(Default)]
struct Direct(Mutex<Server>);

#[async_trait]
impl Transport for Direct {
    async fn send(&self, request: Request) -> Result<Response> {
        let mut server = self.0.lock().unwrap();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        server.set_clock(now.as_micros() as i64);
        Ok(server.answer(&request, |_| false))
    }
}

struct Modelled;

impl Fresh for Modelled {
    async fn store(&self, clock: Clock) -> Arc<dyn Store> {
        let options = Options { clock, ..Options::default() };
        Arc::new(RedisStore::open_model(Arc::new(Direct::default()), options).await.unwrap())
    }
}

store_conformance!(Modelled);
