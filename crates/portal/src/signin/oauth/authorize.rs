//! The pages of the way: `authorize` asks for user name and password, `signin` checks them and sends the browser
//! back to the program, `approval` shows a code to a person.

use std::time::Duration;

use isochrone_domain::{UnknownFields, User};
use isochrone_store::{Grant, TokenBinding};
use serde_json::json;

use super::redirect::Redirect;
use super::token::CodeTerms;
use super::{Asked, Kind};
use crate::answer::{Answer, Failure, SignInPage};
use crate::request::Call;
use crate::serve::Served;
use crate::signin::generate_token::{LONGEST, keep_new, random_token};
use crate::signin::hash;

/// How long a code can be turned in.
const CODE_LIVES: Duration = Duration::from_mins(10);

/// The same for one that a person carries, and that nothing else protects.
const BARE_CODE_LIVES: Duration = Duration::from_mins(2);

/// The usual life of a token, in minutes.
const TOKEN_LIVES: i64 = 120;

/// `GET oauth2/authorize`
pub(crate) fn authorize(portal: &Served, call: &Call) -> Result<Answer, Failure> {
    let text = call.parameters.required("redirect_uri")?;
    let Some(redirect) = Redirect::allowed(text, portal, call) else { return Err(not_allowed()) };
    let asked = Asked::read(&call.parameters, redirect)?;
    asked.check_proof(&portal.config)?;
    Ok(page(call, &asked, None))
}

/// `POST oauth2/signin`
pub(crate) async fn sign_in(portal: &Served, call: &Call) -> Result<Answer, Failure> {
    call.must_post()?;
    let parameters = &call.parameters;
    if let Some(name) =
        ["username", "password"].into_iter().find(|name| call.in_query.iter().any(|q| q == name))
    {
        return Err(Failure::parameter(name, "must be in the body: addresses end up in logs"));
    }
    let asked = Asked::from_text(parameters.required("oauth_state")?)
        .ok_or_else(|| Failure::parameter("oauth_state", "is not what the sign-in page has"))?;
    let Some(redirect) = asked.redirect.clone().still_allowed(portal, call) else {
        return Err(not_allowed());
    };
    asked.check_proof(&portal.config)?;
    let minutes = super::minutes(parameters)?.or(asked.minutes).unwrap_or(TOKEN_LIVES).min(LONGEST);
    let asked = Asked { redirect, minutes: Some(minutes), ..asked };
    let (name, password) = (parameters.given("username"), parameters.given("password"));
    let user = match (name, password) {
        (Some(name), Some(password)) => portal.sign_in.check(name, password.to_owned(), call.ip).await?,
        _ => None,
    };
    let Some(user) = user else {
        return Ok(page(call, &asked, Some("Invalid username or password.")));
    };
    let answer = match asked.kind {
        Kind::Token => implicit(portal, call, &asked, &user, minutes).await?,
        Kind::Code => code(portal, call, &asked, &user).await?,
    };
    Ok(Answer::Redirect(answer))
}

/// `GET oauth2/approval`: programs read the code from the title.
pub(crate) fn approval(call: &Call) -> Result<Answer, Failure> {
    let code = call.parameters.given("code").unwrap_or_default();
    if !code.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return Err(Failure::parameter("code", "is no code"));
    }
    let title = if code.is_empty() { "SUCCESS".to_owned() } else { format!("SUCCESS code={code}") };
    Ok(Answer::Approval { title, code: code.to_owned() })
}

fn page(call: &Call, asked: &Asked, problem: Option<&'static str>) -> Answer {
    let state = asked.to_text();
    let mut info = json!({
        "oauth_state": state,
        "client_id": asked.client,
        "appTitle": asked.client,
        "locale": "en",
        "persistOption": false,
        "contextPath": format!("{}/sharing", call.place.context()),
    });
    if let Some(problem) = problem {
        info["messages"] = json!([problem]);
        info["code"] = json!("OAUTH_0015");
    }
    Answer::SignIn(SignInPage {
        info,
        state,
        client: asked.client.clone(),
        leads_to: asked.redirect.source().to_owned(),
        problem,
    })
}

fn not_allowed() -> Failure {
    Failure::new(400, "Invalid redirect_uri").about("redirect_uri")
}

/// The token goes behind `#`, which browsers send to nobody.
async fn implicit(
    portal: &Served,
    call: &Call,
    asked: &Asked,
    user: &User,
    minutes: i64,
) -> Result<String, Failure> {
    let given = keep_new(&*portal.store, call, user, TokenBinding::None, minutes.unsigned_abs()).await?;
    let answer = [
        ("access_token", &*given.token),
        ("expires_in", &(minutes * 60).to_string()),
        ("username", &user.name),
        ("ssl", "true"),
        ("persist", "false"),
    ];
    Ok(asked.redirect.with('#', &with_state(&answer, asked), call))
}

async fn code(portal: &Served, call: &Call, asked: &Asked, user: &User) -> Result<String, Failure> {
    let code = random_token();
    let terms = CodeTerms {
        client: asked.client.clone(),
        redirect: asked.redirect.clone(),
        challenge: asked.challenge.clone(),
        stamp: user.stamp(),
    };
    let life = if asked.challenge.is_some() { CODE_LIVES } else { BARE_CODE_LIVES };
    let expires = portal.store.now().await? + life;
    let grant =
        Grant { user: user.name.clone(), expires, terms: terms.to_text(), unknown: UnknownFields::NONE };
    portal.store.put_grant(hash(&code), &grant).await?;
    Ok(asked.redirect.with('?', &with_state(&[("code", &code)], asked), call))
}

fn with_state(answer: &[(&str, &str)], asked: &Asked) -> String {
    let state = asked.state.as_deref().map(|state| ("state", state));
    form_urlencoded::Serializer::new(String::new()).extend_pairs(answer.iter().copied().chain(state)).finish()
}
