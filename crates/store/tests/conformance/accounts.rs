//! Users and tokens.

use std::time::Duration;

use isochrone_domain::{Action, AuditEntry, EpochMillis, Role, UnknownFields, User, UserChange};
use isochrone_store::{Grant, Token, TokenBinding, TokenHash, TokenPurpose, UserChanged};

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
        disabled: None,
        epoch: 0,
        unknown: UnknownFields::NONE,
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
    assert!(
        world.add_user(user, entry(Action::SetUser, EpochMillis(1))).await.unwrap(),
        "nobody has the name"
    );
}

async fn change(world: &World, name: &str, change: &UserChange) -> UserChanged {
    world.change_user(name, change, entry(Action::SetUser, EpochMillis(5))).await.unwrap()
}

fn password(hash: &str) -> UserChange {
    UserChange { password_hash: Some(hash.to_owned()), ..UserChange::default() }
}

fn disabled(disabled: bool) -> UserChange {
    UserChange { disabled: Some(disabled), ..UserChange::default() }
}

fn role(role: Role) -> UserChange {
    UserChange { role: Some(role), ..UserChange::default() }
}

/// Keeps a token, as its user is now.
async fn give(world: &World, hash: TokenHash, token: &Token, audit: AuditEntry) {
    let user = world.user(&token.user).await.unwrap().expect("the user is there");
    assert!(world.put_token(hash, token, &user, audit).await.unwrap());
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

pub(crate) async fn changes_what_is_said_of_a_user(fresh: &impl Fresh) {
    let world = World::new(fresh).await;
    let ann = user("Ann", Role::Viewer);
    put(&world, &ann).await;
    assert_eq!(change(&world, "bob", &disabled(true)).await, UserChanged::Missing);
    let changes = [password("$argon2id$new"), role(Role::Publisher), disabled(true)];
    // All at once: none takes another one back.
    let changing = changes.iter().map(|said| change(&world, "ANN", said));
    for answer in futures::future::join_all(changing).await {
        assert!(matches!(answer, UserChanged::Done(_)), "{answer:?}");
    }
    let expected = User {
        role: Role::Publisher,
        password_hash: "$argon2id$new".to_owned(),
        disabled: Some(EpochMillis(5)),
        epoch: 1,
        ..ann
    };
    assert_eq!(world.users().await.unwrap(), [expected]);
    assert_eq!(world.audit(EVER).await.unwrap().len(), 4);
}

pub(crate) async fn keeps_the_last_administrator(fresh: &impl Fresh) {
    let world = World::new(fresh).await;
    put(&world, &user("Ann", Role::Admin)).await;
    put(&world, &user("bob", Role::Publisher)).await;
    for said in [role(Role::Viewer), disabled(true)] {
        assert_eq!(change(&world, "ann", &said).await, UserChanged::LastAdministrator);
    }
    let delete =
        async |name: &str| world.delete_user(name, entry(Action::DeleteUser, EpochMillis(9))).await.unwrap();
    assert_eq!(delete("ANN").await, UserChanged::LastAdministrator);
    assert_eq!(world.audit(EVER).await.unwrap().len(), 2, "nothing was done");
    assert!(matches!(change(&world, "ann", &password("$argon2id$new")).await, UserChanged::Done(_)));
    // Of ten administrators who are demoted, disabled and deleted at once, one stays.
    for number in 0..9 {
        put(&world, &user(&format!("admin{number}"), Role::Admin)).await;
    }
    let names = (0..9).map(|number| format!("admin{number}")).chain(["Ann".to_owned()]);
    let leaving = names.enumerate().map(async |(number, name)| match number % 3 {
        0 => change(&world, &name, &role(Role::Publisher)).await,
        1 => change(&world, &name, &disabled(true)).await,
        _ => delete(&name).await,
    });
    let answers = futures::future::join_all(leaving).await;
    let kept = answers.iter().filter(|answer| **answer == UserChanged::LastAdministrator).count();
    assert_eq!(kept, 1, "{answers:?}");
    assert_eq!(world.users().await.unwrap().iter().filter(|user| user.administrates()).count(), 1);
}

pub(crate) async fn forgets_a_user_with_the_tokens(fresh: &impl Fresh) {
    let world = World::new(fresh).await;
    put(&world, &user("Ann", Role::Viewer)).await;
    give(&world, TokenHash([1; 32]), &key("k"), entry(Action::CreateKey, EpochMillis(1))).await;
    let old = world.user("ann").await.unwrap().expect("she is there");
    let deleted = world.delete_user("ANN", entry(Action::DeleteUser, EpochMillis(9))).await.unwrap();
    assert_eq!(deleted, UserChanged::Done(old.clone()));
    assert_eq!(world.user("ann").await.unwrap(), None);
    assert_eq!(world.token(TokenHash([1; 32])).await.unwrap(), None);
    let again = world.delete_user("ann", entry(Action::DeleteUser, EpochMillis(9))).await.unwrap();
    assert_eq!(again, UserChanged::Missing);
    let late = async || {
        let entry = entry(Action::CreateKey, EpochMillis(9));
        world.put_token(TokenHash([2; 32]), &key("k"), &old, entry).await.unwrap()
    };
    assert!(!late().await, "who is gone gets no token");
    // Who comes by that name later is somebody else.
    put(&world, &User { password_hash: "$argon2id$other".to_owned(), ..user("ann", Role::Viewer) }).await;
    assert_eq!(world.tokens_of("ann").await.unwrap(), []);
    assert!(!late().await);
    assert_eq!(world.audit(EVER).await.unwrap().len(), 4);
}

pub(crate) async fn gives_tokens_to_who_the_user_still_is(fresh: &impl Fresh) {
    let world = World::new(fresh).await;
    put(&world, &user("Ann", Role::Viewer)).await;
    let give = async |user: &User| {
        let entry = entry(Action::CreateKey, EpochMillis(1));
        world.put_token(TokenHash([1; 32]), &key("k"), user, entry).await.unwrap()
    };
    let first = world.user("ann").await.unwrap().expect("she is there");
    assert!(give(&first).await);
    assert!(matches!(change(&world, "ann", &disabled(true)).await, UserChanged::Done(_)));
    assert_eq!(world.tokens_of("ann").await.unwrap(), [], "disabled, she has none");
    assert!(!give(&first).await);
    assert!(!give(&world.user("ann").await.unwrap().expect("she is there")).await);
    assert!(matches!(change(&world, "ann", &disabled(false)).await, UserChanged::Done(_)));
    assert_eq!(world.tokens_of("ann").await.unwrap(), [], "what was void stays void");
    assert!(!give(&first).await, "she signed in before she was disabled");
    let second = world.user("ann").await.unwrap().expect("she is there");
    assert!(matches!(change(&world, "ann", &password("$argon2id$new")).await, UserChanged::Done(_)));
    assert!(!give(&second).await, "her password was checked before it was changed");
    assert!(give(&world.user("ann").await.unwrap().expect("she is there")).await);
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
        give(&world, *hash, token, entry(Action::SignIn, now)).await;
    }
    for (hash, token) in &tokens {
        assert_eq!(world.token(*hash).await.unwrap(), Some(token.clone()));
    }
    assert_eq!(world.token(TokenHash([9; 32])).await.unwrap(), None);
    let ann = world.user("ann").await.unwrap().expect("she is there");
    assert_eq!(ann.last_login, Some(now));

    let (expired, void) = token(4, now, TokenBinding::None);
    give(&world, expired, &void, entry(Action::SignIn, now)).await;
    let (fresh_hash, fresh_token) = token(5, hour, TokenBinding::None);
    // Redis keeps what has expired already for a millisecond.
    let kept = world.now().await.unwrap();
    world.reach(EpochMillis(kept.0 + 2)).await;
    give(&world, fresh_hash, &fresh_token, entry(Action::SignIn, now)).await;
    assert_eq!(world.token(expired).await.unwrap(), None, "it is forgotten");
    assert_eq!(world.token(tokens[0].0).await.unwrap(), Some(tokens[0].1.clone()));
}

pub(crate) async fn forgets_tokens_with_the_password(fresh: &impl Fresh) {
    let world = World::new(fresh).await;
    put(&world, &user("Ann", Role::Viewer)).await;
    put(&world, &user("bob", Role::Viewer)).await;
    let now = world.now().await.unwrap();
    let expires = now + Duration::from_hours(1);
    let (anns, bobs) = (TokenHash([1; 32]), TokenHash([2; 32]));
    for (hash, name) in [(anns, "Ann"), (bobs, "bob")] {
        let (user, binding, purpose) = (name.to_owned(), TokenBinding::None, TokenPurpose::SignIn);
        let token = Token { user, expires, binding, purpose };
        give(&world, hash, &token, entry(Action::SignIn, now)).await;
    }
    assert!(matches!(change(&world, "ann", &role(Role::Publisher)).await, UserChanged::Done(_)));
    assert!(world.token(anns).await.unwrap().is_some(), "the password is the same");
    assert!(matches!(change(&world, "ANN", &password("$argon2id$new")).await, UserChanged::Done(_)));
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
        give(&world, TokenHash([number; 32]), token, entry(Action::CreateKey, now)).await;
    }
    let bobs = Token { user: "bob".to_owned(), ..late.clone() };
    give(&world, TokenHash([3; 32]), &bobs, entry(Action::CreateKey, now)).await;
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

    assert!(matches!(change(&world, "Ann", &password("$argon2id$new")).await, UserChanged::Done(_)));
    assert_eq!(world.tokens_of("ann").await.unwrap(), [], "a new password voids keys too");
    assert_eq!(world.tokens_of("bob").await.unwrap(), [(TokenHash([3; 32]), bobs)]);
}

fn grant(expires: EpochMillis) -> Grant {
    let terms = r#"{"client":"a"}"#.to_owned();
    Grant { user: "Ann".to_owned(), expires, terms, unknown: UnknownFields::NONE }
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
