//! How tokens are shared, and renewed when they are refused.

use std::time::{Duration, Instant};

use tokio::sync::Mutex;

use crate::{Error, Result};

/// Where tokens come from.
pub(crate) trait Tokens {
    /// What requests carry.
    type Token: PartialEq;

    /// A token that is good still; another one than `refused`, if there can be one.
    fn token(&self, refused: Option<&Self::Token>) -> impl Future<Output = Result<Self::Token>> + Send;
}

/// Asks something with a token. One that is refused is renewed once.
pub(crate) async fn ask<S, T, F>(tokens: &S, request: impl Fn(&S::Token) -> F) -> Result<T>
where
    S: Tokens,
    F: Future<Output = Result<T>>,
{
    let first = tokens.token(None).await?;
    match request(&first).await {
        Err(Error::Token(refusal)) => {
            let second = tokens.token(Some(&first)).await?;
            if second == first {
                return Err(Error::Token(refusal));
            }
            tracing::info!(%refusal, "a token was taken back; a new one is tried");
            request(&second).await
        }
        answered => answered,
    }
}

/// What is good for a while, and is fetched by one of those who need it while the others wait.
#[derive(Debug)]
pub(crate) struct Shared<T> {
    last: Mutex<Option<Fetched<T>>>,
}

#[derive(Debug)]
struct Fetched<T> {
    there: Instant,
    until: Instant,
    outcome: Result<T>,
}

impl<T> Default for Shared<T> {
    fn default() -> Shared<T> {
        Shared { last: Mutex::default() }
    }
}

impl<T: Clone> Shared<T> {
    /// What is held, if it is good still and `suits`; else what `fetch` gives, with the time that it is good for.
    pub(crate) async fn get(
        &self,
        suits: impl FnOnce(&T) -> bool,
        fetch: impl Future<Output = Result<(T, Duration)>>,
    ) -> Result<T> {
        let came = Instant::now();
        let mut last = self.last.lock().await;
        match &*last {
            Some(Fetched { outcome: Ok(held), until, .. }) if *until > Instant::now() && suits(held) => {
                return Ok(held.clone());
            }
            // Who waited for it shares its failure: they do not wait for one each.
            Some(Fetched { outcome: Err(error), there, .. }) if *there > came => return Err(error.clone()),
            _ => {}
        }
        let asked = Instant::now();
        let (outcome, life) = match fetch.await {
            Ok((held, life)) => (Ok(held), life),
            Err(error) => (Err(error), Duration::ZERO),
        };
        *last = Some(Fetched { there: Instant::now(), until: asked + life, outcome: outcome.clone() });
        outcome
    }
}
