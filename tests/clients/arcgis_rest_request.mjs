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
  async needs_a_token() {
    await assert.rejects(request(tasks), (error) => error.code === 499);
  },
};

for (const [name, check] of Object.entries(CHECKS)) {
  await check();
  console.log("ok", name);
}
