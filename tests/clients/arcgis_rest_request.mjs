// @esri/arcgis-rest-request against Isochrone, as its users call it. The name of each check is printed when it has
// passed.

import assert from "node:assert/strict";
import { ArcGISIdentityManager, request } from "@esri/arcgis-rest-request";

const portal = `${process.env.PORTAL_URL}/sharing/rest`;
const tasks = `${portal}/community/users/admin/tasks`;
const login = { username: "admin", password: process.env.PORTAL_PASSWORD, portal };
const noon = { minute: "0", hour: "12", dayOfMonth: "*", month: "*", dayOfWeek: "?" };
const report = { type: "ExecuteReport", title: "weekly", parameters: { reportType: "org", reportSubType: "users" } };
let authentication;

/** What of a browser's window the client uses. */
function browser(href) {
  const kept = new Map();
  const localStorage = {
    getItem: (name) => kept.get(name) ?? null,
    setItem: (name, value) => kept.set(name, value),
    removeItem: (name) => kept.delete(name),
  };
  const history = { replaceState() {} };
  return { crypto, TextEncoder, btoa, isSecureContext: true, localStorage, history, location: { href } };
}

/** Sends the window to the page on which its user signs in. */
async function begin(options, page) {
  // One of the client's functions looks for the global one.
  globalThis.window = page;
  await ArcGISIdentityManager.beginOAuth2(options, page);
  delete globalThis.window;
}

/** Signs in on the page there, and gives the address that the browser is sent to. */
async function signedIn(authorize) {
  const page = await (await fetch(authorize)).text();
  const [, state] = page.match(/"oauth_state":\s*"([0-9a-f]+)"/);
  const form = new URLSearchParams({ oauth_state: state, username: login.username, password: login.password });
  const answer = await fetch(`${process.env.PORTAL_URL}/sharing/oauth2/signin`, {
    method: "POST",
    body: form,
    redirect: "manual",
  });
  assert.equal(answer.status, 302);
  return answer.headers.get("location");
}

const CHECKS = {
  async signs_in() {
    authentication = await ArcGISIdentityManager.signIn(login);
    assert.equal(authentication.username, "admin");
    assert.equal((await authentication.getUser()).username, "admin");
    assert.equal((await authentication.getPortal()).portalMode, "singletenant");
  },
  async is_refused_with_a_wrong_password() {
    const wrong = ArcGISIdentityManager.signIn({ ...login, password: "wrong" });
    await assert.rejects(wrong, /Unable to generate token/);
  },
  async makes_reads_changes_and_deletes_a_task() {
    const made = await request(`${tasks}/createTask`, { authentication, params: { ...report, ...noon } });
    assert.equal(made.success, true);
    const list = await request(tasks, { authentication, httpMethod: "GET", params: { types: report.type } });
    assert.deepEqual([list.total, list.tasks[0].id], [1, made.taskId]);
    assert.deepEqual(list.tasks[0].parameters, report.parameters);
    const task = `${tasks}/${made.taskId}`;
    await request(`${task}/update`, { authentication, params: { title: "renamed" } });
    const shown = await request(task, { authentication, httpMethod: "GET" });
    assert.deepEqual([shown.title, shown.cronSchedule.hour], ["renamed", "12"]);
    const refused = request(`${task}/update`, { authentication, params: { minute: "61" } });
    await assert.rejects(refused, (error) => error.code === 400 && /minute/.test(error.message));
    await request(`${task}/delete`, { authentication });
    await assert.rejects(request(task, { authentication }), (error) => error.code === 400);
  },
  async signs_in_through_a_browser_with_pkce() {
    const back = "http://127.0.0.1:9/back";
    const options = { clientId: "web", portal, redirectUri: back, popup: false };
    const page = browser(back);
    await begin(options, page);
    page.location = new URL(await signedIn(page.location.href));
    const manager = await ArcGISIdentityManager.completeOAuth2(options, page);
    assert.equal(manager.username, "admin");
    assert.equal((await manager.getUser()).username, "admin");
    await manager.refreshCredentials();
    assert.equal((await manager.getUser()).username, "admin");
  },
  async signs_in_through_a_browser_without_a_code() {
    const back = "http://127.0.0.1:9/back";
    const options = { clientId: "web", portal, redirectUri: back, popup: false, pkce: false };
    const page = browser(back);
    await begin(options, page);
    page.location = new URL(await signedIn(page.location.href));
    const manager = await ArcGISIdentityManager.completeOAuth2(options, page);
    assert.equal((await manager.getUser()).username, "admin");
  },
  async gets_no_code_for_a_plain_challenge() {
    // What the client falls back to where a page may not hash.
    const page = { ...browser("http://127.0.0.1:9/back"), isSecureContext: false };
    await begin({ clientId: "web", portal, redirectUri: "http://127.0.0.1:9/back", popup: false }, page);
    assert.match(page.location.href, /code_challenge_method=plain/);
    const told = await (await fetch(page.location.href)).text();
    assert.match(told, /code_challenge_method/);
    assert.doesNotMatch(told, /oauth_state/);
  },
  async needs_a_token() {
    await assert.rejects(request(tasks), (error) => error.code === 499);
  },
};

for (const [name, check] of Object.entries(CHECKS)) {
  await check();
  console.log("ok", name);
}
