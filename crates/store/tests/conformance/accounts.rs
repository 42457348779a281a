//! Users and tokens.

use std::time::Duration;

use isochrone_domain::{Action, AuditEntry, EpochMillis, Role, User};
use isochrone_store::{Grant, Token, TokenBinding, TokenHash, TokenPurpose};

use super::Fresh;
use super::ledger::EVER;
use super::world::World;

fn user(name: &str, role: Role) -> User {
    User {
        name: name.to_owned(),
        role,
        password_hash: format!("$argon2id${name}"),
        created: EpochMillis(1),
        last_login: None,
    }
}

fn entry(action: Action, at: EpochMillis) -> AuditEntry {
    AuditEntry {
        at,
        actor: "admin".to_owned(),
        ip: None,
        action,
        task: None,
        run: None,
        item: None,
        title: "Ann".to_owned(),
        owner: "admin".to_owned(),
    }
}

async fn put(world: &World, user: &User) {
    world.put_user(user, entry(Action::SetUser, EpochMillis(1))).await.unwrap();
}

pub(crate) async fn knows_users_in_any_case(fresh: &impl Fresh) {
    let world = World::new(fresh).await;
    assert_eq!(world.users().await.unwrap(), []);
    let (ann, bob) = (user("Ann", Role::Admin), user("bob", Role::Viewer));
    put(&world, &bob).await;
    put(&world, &ann).await;
    for name in ["Ann", "ann", "ANN"] {
        assert_eq!(world.user(name).await.unwrap(), Some(ann.clone()));
    }
    assert_eq!(world.user("an").await.unwrap(), None);
    assert_eq!(world.user("ann%").await.unwrap(), None);
    assert_eq!(world.users().await.unwrap(), [ann, bob]);
}

pub(crate) async fn adds_a_user_once(fresh: &impl Fresh) {
    let world = World::new(fresh).await;
    let (first, second) = (user("Ann", Role::Admin), user("ANN", Role::Viewer));
    let add = async |user: &User| world.add_user(user, entry(Action::SetUser, EpochMillis(1))).await.unwrap();
    let (one, other) = tokio::join!(add(&first), add(&second));
    assert!(one != other, "whoever comes second is told");
    assert_eq!(world.users().await.unwrap(), [if one { first } else { second }]);
    assert_eq!(world.audit(EVER).await.unwrap().len(), 1);
}

pub(crate) async fn replaces_users(fresh: &impl Fresh) {
    let world = World::new(fresh).await;
    put(&world, &user("Ann", Role::Admin)).await;
    let new = user("ANN", Role::Publisher);
    put(&world, &new).await;
    assert_eq!(world.users().await.unwrap(), [new]);
    assert_eq!(world.audit(EVER).await.unwrap().len(), 2);
}

pub(crate) async fn keeps_tokens_until_they_expire(fresh: &impl Fresh) {
    let world = World::new(fresh).await;
    put(&world, &user("Ann", Role::Admin)).await;
    let now = world.now().await.unwrap();
    let token = |number: u8, expires: EpochMillis, binding: TokenBinding| {
        (
            TokenHash([number; 32]),
            Token { user: "Ann".to_owned(), expires, binding, purpose: TokenPurpose::SignIn },
        )
    };
    let hour = now + Duration::from_hours(1);
    let tokens = [
        token(1, hour, TokenBinding::None),
        token(2, hour, TokenBinding::Referer("https://a.example/x?y".to_owned())),
        token(3, hour, TokenBinding::Ip("2001:db8::1".to_owned())),
    ];
    for (hash, token) in &tokens {
        world.put_token(*hash, token, entry(Action::SignIn, now)).await.unwrap();
    }
    for (hash, token) in &tokens {
        assert_eq!(world.token(*hash).await.unwrap(), Some(token.clone()));
    }
    assert_eq!(world.token(TokenHash([9; 32])).await.unwrap(), None);
    let ann = world.user("ann").await.unwrap().expect("she is there");
    assert_eq!(ann.last_login, Some(now));

    let (expired, void) = token(4, now, TokenBinding::None);
    world.put_token(expired, &void, entry(Action::SignIn, now)).await.unwrap();
    let (fresh_hash, fresh_token) = token(5, hour, TokenBinding::None);
    // Redis keeps what has expired already for a millisecond.
    let kept = world.now().await.unwrap();
    world.reach(EpochMillis(kept.0 + 2)).await;
    world.put_token(fresh_hash, &fresh_token, entry(Action::SignIn, now)).await.unwrap();
    assert_eq!(world.token(expired).await.unwrap(), None, "it is forgotten");
    assert_eq!(world.token(tokens[0].0).await.unwrap(), Some(tokens[0].1.clone()));
}

pub(crate) async fn forgets_tokens_with_the_password(fresh: &impl Fresh) {
    let world = World::new(fresh).await;
    let ann = user("Ann", Role::Viewer);
    put(&world, &ann).await;
    put(&world, &user("bob", Role::Viewer)).await;
    let now = world.now().await.unwrap();
    let expires = now + Duration::from_hours(1);
    let (anns, bobs) = (TokenHash([1; 32]), TokenHash([2; 32]));
    for (hash, name) in [(anns, "Ann"), (bobs, "bob")] {
        let (user, binding, purpose) = (name.to_owned(), TokenBinding::None, TokenPurpose::SignIn);
        let token = Token { user, expires, binding, purpose };
        world.put_token(hash, &token, entry(Action::SignIn, now)).await.unwrap();
    }
    put(&world, &User { role: Role::Publisher, ..ann.clone() }).await;
    assert!(world.token(anns).await.unwrap().is_some(), "the password is the same");
    put(&world, &User { name: "ANN".to_owned(), password_hash: "$argon2id$new".to_owned(), ..ann }).await;
    assert_eq!(world.token(anns).await.unwrap(), None);
    assert!(world.token(bobs).await.unwrap().is_some());
}

fn key(title: &str) -> Token {
    let purpose = TokenPurpose::Key { title: title.to_owned(), created: EpochMillis(7) };
    Token { user: "Ann".to_owned(), expires: EpochMillis::MAX, binding: TokenBinding::None, purpose }
}

pub(crate) async fn lists_and_forgets_keys(fresh: &impl Fresh) {
    let world = World::new(fresh).await;
    put(&world, &user("Ann", Role::Publisher)).await;
    put(&world, &user("bob", Role::Publisher)).await;
    let now = world.now().await.unwrap();
    let early = Token { expires: now + Duration::from_hours(1), ..key("early") };
    let late = Token { expires: now + Duration::from_hours(9_000), ..key("late") };
    for (number, token) in [(1, &late), (2, &early)] {
        world.put_token(TokenHash([number; 32]), token, entry(Action::CreateKey, now)).await.unwrap();
    }
    let bobs = Token { user: "bob".to_owned(), ..late.clone() };
    world.put_token(TokenHash([3; 32]), &bobs, entry(Action::CreateKey, now)).await.unwrap();
    let all = [(TokenHash([2; 32]), early.clone()), (TokenHash([1; 32]), late.clone())];
    assert_eq!(world.tokens_of("ANN").await.unwrap(), all);
    assert_eq!(world.user("ann").await.unwrap().expect("she is there").last_login, None, "no sign-in");
    assert_eq!(world.token(TokenHash([1; 32])).await.unwrap(), Some(late));

    let before = world.audit(EVER).await.unwrap().len();
    let revoked = || entry(Action::RevokeToken, now);
    assert!(world.forget_token(TokenHash([1; 32]), revoked()).await.unwrap());
    assert!(!world.forget_token(TokenHash([1; 32]), revoked()).await.unwrap());
    assert!(!world.forget_token(TokenHash([9; 32]), revoked()).await.unwrap());
    assert_eq!(world.audit(EVER).await.unwrap().len(), before + 1);
    assert_eq!(world.token(TokenHash([1; 32])).await.unwrap(), None);
    assert_eq!(world.tokens_of("ann").await.unwrap(), [(TokenHash([2; 32]), early)]);
    assert_eq!(world.tokens_of("nobody").await.unwrap(), []);

    put(&world, &User { password_hash: "$argon2id$new".to_owned(), ..user("Ann", Role::Publisher) }).await;
    assert_eq!(world.tokens_of("ann").await.unwrap(), [], "a new password voids keys too");
    assert_eq!(world.tokens_of("bob").await.unwrap(), [(TokenHash([3; 32]), bobs)]);
}

fn grant(expires: EpochMillis) -> Grant {
    Grant { user: "Ann".to_owned(), expires, terms: r#"{"client":"a"}"#.to_owned() }
}

pub(crate) async fn gives_a_grant_to_one_taker(fresh: &impl Fresh) {
    let world = World::new(fresh).await;
    let kept = grant(world.now().await.unwrap() + Duration::from_hours(1));
    world.put_grant(TokenHash([1; 32]), &kept).await.unwrap();
    assert_eq!(world.grant(TokenHash([1; 32])).await.unwrap(), Some(kept.clone()));
    assert_eq!(world.grant(TokenHash([2; 32])).await.unwrap(), None);
    let takers = (0..20).map(|_| world.take_grant(TokenHash([1; 32])));
    let taken = futures::future::try_join_all(takers).await.unwrap();
    assert_eq!(taken.into_iter().flatten().collect::<Vec<_>>(), [kept]);
    assert_eq!(world.grant(TokenHash([1; 32])).await.unwrap(), None);
}

pub(crate) async fn forgets_expired_grants(fresh: &impl Fresh) {
    let world = World::new(fresh).await;
    let now = world.now().await.unwrap();
    world.put_grant(TokenHash([1; 32]), &grant(now + Duration::from_millis(50))).await.unwrap();
    world.reach(now + Duration::from_millis(100)).await;
    world.put_grant(TokenHash([2; 32]), &grant(now + Duration::from_hours(1))).await.unwrap();
    assert_eq!(world.grant(TokenHash([1; 32])).await.unwrap(), None);
    assert!(world.grant(TokenHash([2; 32])).await.unwrap().is_some());
}
