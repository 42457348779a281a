//! The operations of the sharing API and their parameters, as the description and the pages' forms tell them.

use isochrone_domain::TaskType;

use Kind::{Choice, File, Flag, Id, Json, Text, Whole};

/// What a parameter is.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    Text,
    Whole,
    Flag,
    /// 32 hex digits.
    Id,
    Json,
    File,
    Choice(&'static [&'static str]),
}

/// A parameter: its name, what it is, and what it is for.
pub(crate) type Parameter = (&'static str, Kind, &'static str);

/// How an operation is asked for. Reads take POST, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    Get,
    Post,
}

impl Method {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Method::Get => "get",
            Method::Post => "post",
        }
    }
}

/// An operation.
pub(crate) struct Operation {
    pub(crate) method: Method,
    /// Below the API's root; names in braces stand for any segment.
    pub(crate) path: &'static str,
    pub(crate) summary: &'static str,
    pub(crate) required: &'static [Parameter],
    pub(crate) optional: &'static [Parameter],
    pub(crate) answer: Answer,
}

/// What an operation answers where nothing is wrong.
#[derive(Clone, Copy)]
pub(crate) enum Answer {
    /// One of the described documents.
    Named(&'static str),
    /// Some object.
    Object,
    /// Bytes.
    Bytes,
    /// A page, or the way to another.
    Page,
}

/// What every operation takes.
pub(crate) const FORMAT: Parameter =
    ("f", Choice(&["json", "pjson", "html"]), "How the answer is written; not given: html");

const PAGING: [Parameter; 2] =
    [("start", Whole, "The first row's number; the list's first is 1"), ("num", Whole, "How many rows")];

const SCHEDULE: [Parameter; 5] = [
    ("minute", Text, "0-59, in Quartz's dialect"),
    ("hour", Text, "0-23, UTC"),
    ("dayOfMonth", Text, "1-31, or ? where dayOfWeek decides"),
    ("month", Text, "1-12"),
    ("dayOfWeek", Text, "1-7 (1 is Sunday), or ? where dayOfMonth decides"),
];

/// The names of the task types.
pub(crate) const TYPE_NAMES: [&str; TaskType::ALL.len()] = {
    let mut names = [""; TaskType::ALL.len()];
    let mut at = 0;
    while at < names.len() {
        names[at] = TaskType::ALL[at].name();
        at += 1;
    }
    names
};

const TYPES: Kind = Choice(&TYPE_NAMES);

const CREATE: [Parameter; 6] =
    [("type", TYPES, "What kind of work"), SCHEDULE[0], SCHEDULE[1], SCHEDULE[2], SCHEDULE[3], SCHEDULE[4]];

const TASK: [Parameter; 16] = [
    ("title", Text, "For people"),
    ("itemId", Id, "The item that the task works on; required but for ExecuteReport"),
    ("taskURL", Text, "Of a geoprocessing task; required for GPService"),
    ("parameters", Json, "Required for ExecuteSceneCook, ExecuteReport and GPService"),
    (
        "startDate",
        Whole,
        "No run before this moment, in milliseconds since 1970 UTC; an update takes it away by -1",
    ),
    ("endDate", Whole, "No run after this moment; an update takes it away by -1"),
    ("maxOccurrences", Whole, "How many runs at most; -1: any number"),
    ("misfirePolicy", Text, "runLatest, runAll, runAll:<most runs>, skip or skip:<grace seconds>"),
    ("overlapPolicy", Choice(&["skip", "queue", "allow"]), "What a fire does while a run goes on"),
    ("maxRetries", Whole, "0 to 100"),
    ("retryBackoffSeconds", Whole, "0 to 3600"),
    ("timeoutSeconds", Whole, "1 to 2592000; -1: the executor's own"),
    ("crashPolicy", Choice(&["atLeastOnce", "atMostOnce"]), "What a run does whose worker died"),
    ("maxConsecutiveFailures", Whole, "1 to 1000000; -1: never disable"),
    ("itemChanges", Choice(&["pinned", "follow"]), "What a run does where somebody else changed the item"),
    ("allowUnknownParameters", Flag, "Whether parameters are passed on that what runs does not declare"),
];

const UPDATE: [Parameter; 23] = {
    let mut all = [("isActive", Flag, "Whether the task plans runs"); 23];
    let mut at = 0;
    while at < CREATE.len() {
        all[1 + at] = CREATE[at];
        at += 1;
    }
    at = 0;
    while at < TASK.len() {
        all[7 + at] = TASK[at];
        at += 1;
    }
    all
};

const LIST: [Parameter; 5] = [
    PAGING[0],
    PAGING[1],
    ("itemId", Id, "For this item"),
    ("active", Flag, "Active ones, or ones that are not"),
    ("types", Text, "Of these types, with commas between them"),
];

const USER_COUNTS: [Parameter; 3] =
    [PAGING[0], PAGING[1], ("type", Text, "role, userLicenseType, app or appBundle")];

const LIST_ALL: [Parameter; 6] =
    [LIST[0], LIST[1], LIST[2], LIST[3], LIST[4], ("userFilter", Text, "Of this user")];

const ITEM: [Parameter; 10] = [
    ("title", Text, "For people"),
    ("type", Text, "Such as Notebook"),
    ("tags", Text, "With commas between them"),
    ("typeKeywords", Text, "With commas between them"),
    ("description", Text, "For people"),
    ("snippet", Text, "The same in short"),
    ("url", Text, "Of a service"),
    ("text", Text, "The item's data as text"),
    ("file", File, "The item's data"),
    ("async", Flag, "Accepted, and done at once"),
];

/// A read.
const fn get(
    path: &'static str,
    summary: &'static str,
    optional: &'static [Parameter],
    answer: Answer,
) -> Operation {
    Operation { method: Method::Get, path, summary, required: &[], optional, answer }
}

/// A change.
const fn post(
    path: &'static str,
    summary: &'static str,
    required: &'static [Parameter],
    optional: &'static [Parameter],
    answer: Answer,
) -> Operation {
    Operation { method: Method::Post, path, summary, required, optional, answer }
}

const CHANGED: Answer = Answer::Named("Changed");

/// All of them.
pub(crate) const OPERATIONS: &[Operation] = &[
    get("", "The API's version", &[], Answer::Object),
    get("/info", "Where tokens come from", &[], Answer::Object),
    post(
        "/generateToken",
        "User name and password for a token",
        &[("username", Text, "Who signs in"), ("password", Text, "In the body only")],
        &[
            ("client", Choice(&["referer", "ip", "requestip"]), "What the token is bound to"),
            ("referer", Text, "For client=referer"),
            ("ip", Text, "For client=ip"),
            ("expiration", Whole, "The token's life in minutes"),
        ],
        Answer::Named("Given"),
    ),
    get(
        "/oauth2/authorize",
        "The page on which a program's user signs in",
        &[
            ("response_type", Choice(&["token", "code"]), "What the program gets"),
            ("client_id", Text, "The program"),
            ("redirect_uri", Text, "Where it is told"),
            ("state", Text, "Handed back as it came"),
            ("expiration", Whole, "The token's life in minutes"),
            ("code_challenge", Text, "PKCE: required for a code, but for urn:ietf:wg:oauth:2.0:oob"),
            ("code_challenge_method", Choice(&["S256"]), "PKCE"),
        ],
        Answer::Page,
    ),
    post(
        "/oauth2/signin",
        "The same page's form",
        &[("oauth_state", Text, "From the page"), ("username", Text, "Who signs in"), ("password", Text, "")],
        &[("expiration", Whole, "The token's life in minutes")],
        Answer::Page,
    ),
    get("/oauth2/approval", "The page that shows a code", &[("code", Text, "The code")], Answer::Page),
    post(
        "/oauth2/token",
        "A code, a refresh token or an API key for an access token",
        &[
            ("client_id", Text, "The program, or the API key's id"),
            (
                "grant_type",
                Choice(&[
                    "authorization_code",
                    "refresh_token",
                    "exchange_refresh_token",
                    "client_credentials",
                ]),
                "What is turned in",
            ),
        ],
        &[
            ("code", Text, "For authorization_code"),
            ("redirect_uri", Text, "As it was asked with"),
            ("code_verifier", Text, "PKCE"),
            ("refresh_token", Text, "For refresh_token and exchange_refresh_token"),
            ("client_secret", Text, "For client_credentials: the API key"),
            ("expiration", Whole, "The token's life in minutes"),
        ],
        Answer::Object,
    ),
    post(
        "/oauth2/revokeToken",
        "Makes a token void",
        &[("auth_token", Text, "The token")],
        &[],
        Answer::Object,
    ),
    get("/portals/self", "The portal", &[], Answer::Object),
    get("/portals/self/roles", "An organization's own roles: none", &PAGING, Answer::Object),
    get("/portals/self/users", "Everybody who signs in", &PAGING, Answer::Object),
    get("/portals/self/users/counts", "How many users there are of each kind", &USER_COUNTS, Answer::Object),
    get("/portals/self/allScheduledTasks", "Everybody's tasks", &LIST_ALL, Answer::Named("TaskList")),
    get("/community/self", "Who asks", &[], Answer::Object),
    get("/community/users/{user}", "A user", &[], Answer::Object),
    get("/community/users/{user}/tasks", "A user's tasks", &LIST, Answer::Named("TaskList")),
    post("/community/users/{user}/createTask", "Makes a task", &CREATE, &TASK, CHANGED),
    post("/community/users/{user}/tasks/createTask", "Makes a task", &CREATE, &TASK, CHANGED),
    get("/community/users/{user}/tasks/{task}", "A task", &[], Answer::Named("TaskDocument")),
    post("/community/users/{user}/tasks/{task}/update", "Changes a task", &[], &UPDATE, CHANGED),
    post("/community/users/{user}/tasks/{task}/enable", "Lets a task plan runs", &[], &[], CHANGED),
    post(
        "/community/users/{user}/tasks/{task}/restart",
        "Let a task plan runs again, whatever ended that",
        &[],
        &[],
        CHANGED,
    ),
    post("/community/users/{user}/tasks/{task}/disable", "Makes a task plan none", &[], &[], CHANGED),
    post(
        "/community/users/{user}/tasks/{task}/accept",
        "Agree to what the task's item does now",
        &[],
        &[("digest", Text, "Only if the item still has this one")],
        CHANGED,
    ),
    post(
        "/community/users/{user}/tasks/{task}/reassign",
        "Makes a task another user's; for administrators",
        &[("targetUsername", Text, "Whose it becomes")],
        &[],
        CHANGED,
    ),
    post("/community/users/{user}/tasks/{task}/delete", "Deletes a task", &[], &[], CHANGED),
    post(
        "/community/users/{user}/tasks/{task}/run",
        "Makes a run now",
        &[],
        &[("requestId", Id, "The same one makes the same run")],
        CHANGED,
    ),
    get("/community/users/{user}/tasks/{task}/runs", "A task's runs", &PAGING, Answer::Named("RunList")),
    get("/community/users/{user}/tasks/{task}/runs/{run}", "A run", &[], Answer::Named("RunDocument")),
    post(
        "/community/users/{user}/tasks/{task}/runs/{run}/update",
        "Says how a run ended",
        &[],
        &[("status", Text, "succeeded, failed, skipped or submitfailed"), ("result", Text, "For people")],
        CHANGED,
    ),
    post("/community/users/{user}/tasks/{task}/runs/{run}/delete", "Deletes an ended run", &[], &[], CHANGED),
    post("/community/users/{user}/tasks/{task}/runs/{run}/cancel", "Asks a run to end", &[], &[], CHANGED),
    post(
        "/community/users/{user}/tasks/{task}/runs/{run}/retry",
        "Asks for a run once more",
        &[],
        &[],
        CHANGED,
    ),
    get("/community/users/{user}/tasks/{task}/runs/{run}/log", "A run's log", &PAGING, Answer::Named("Log")),
    get(
        "/community/users/{user}/tasks/{task}/runs/{run}/artifacts/{name}",
        "Something that a run left",
        &[],
        Answer::Bytes,
    ),
    get(
        "/search",
        "Finds items",
        &[("q", Text, "Words, title:, type:, owner:, tags:, id:"), PAGING[0], PAGING[1]],
        Answer::Object,
    ),
    get("/content/items/{item}", "An item", &[], Answer::Named("ItemDocument")),
    get("/content/items/{item}/data", "An item's data", &[], Answer::Bytes),
    get("/content/users/{user}", "A user's items", &PAGING, Answer::Object),
    post("/content/users/{user}/addItem", "Adds an item", &[], &ITEM, Answer::Object),
    post("/content/users/{user}/items/{item}/update", "Changes an item", &[], &ITEM, Answer::Object),
    post("/content/users/{user}/items/{item}/delete", "Deletes an item", &[], &[], Answer::Object),
];

impl Operation {
    /// The names in braces.
    pub(crate) fn placeholders(&self) -> impl Iterator<Item = &'static str> {
        self.path.split('/').filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}'))
    }

    /// Its parameters, and whether each must be there.
    pub(crate) fn parameters(&self) -> impl Iterator<Item = (&'static Parameter, bool)> {
        let required = self.required.iter().map(|parameter| (parameter, true));
        required.chain(self.optional.iter().map(|parameter| (parameter, false)))
    }

    /// Whether it is a way to sign in.
    pub(crate) fn gives_tokens(&self) -> bool {
        self.path == "/generateToken" || self.path.starts_with("/oauth2/")
    }

    /// Whether it is at this path.
    pub(crate) fn is_at(&self, path: &[&str]) -> bool {
        let template = || self.path.split('/').skip(1);
        template().count() == path.len()
            && template().zip(path).all(|(wanted, segment)| wanted.starts_with('{') || wanted == *segment)
    }
}
