// The jobs of @esri/arcgis-rest-request against the simulated GIS server, as its users call them. The name of each
// check is printed when it has passed.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { ArcGISIdentityManager, Job, JOB_STATUSES, request } from "@esri/arcgis-rest-request";

const services = process.env.SERVICES_URL;
const tools = `${services}/Tools/GPServer`;
const secured = `${process.env.SECURED_SERVICES_URL}/Tools/GPServer`;
const strict = `${process.env.STRICT_SERVICES_URL}/Tools/GPServer`;
const troubled = `${process.env.TROUBLED_SERVICES_URL}/Tools/GPServer`;
const points = {
  geometryType: "esriGeometryPoint",
  spatialReference: { wkid: 3857 },
  fields: [{ name: "id", type: "esriFieldTypeInteger", alias: "id" }],
  features: [
    { geometry: { x: 0, y: 0 }, attributes: { id: 1 } },
    { geometry: { x: 9000, y: 0 }, attributes: { id: 2 } },
  ],
};
const buffer = {
  url: `${tools}/Buffer`,
  params: { Input_Features: points, Distance: { distance: 0.5, units: "esriKilometers" } },
};

function slow(seconds) {
  return Job.submitJob({ url: `${tools}/Slow`, params: { seconds } });
}

/// Looks until the job is as wanted.
async function until(job, status) {
  const deadline = Date.now() + 30_000;
  while (Date.now() < deadline) {
    const info = await job.getJobInfo();
    if (info.status === status) {
      return info;
    }
    const over = [JOB_STATUSES.Success, JOB_STATUSES.Failed, JOB_STATUSES.Cancelled].includes(info.status);
    assert.ok(!over, `${info.status}, not ${status}`);
    await sleep(50);
  }
  assert.fail(`waited in vain for ${status}`);
}

function refused(code, pattern = /./) {
  return (error) => error.code === code && pattern.test(error.message);
}

async function describes_its_services_and_tasks() {
  const catalog = await request(services);
  assert.deepEqual(catalog.services.map((service) => service.name), ["Tools", "AtOnce"]);
  const system = await request(`${services}/${catalog.folders[0]}`);
  const controllers = `${services}/${system.services[0].name}/${system.services[0].type}`;
  assert.deepEqual((await request(controllers)).tasks, ["Manage Scene Cache"]);
  const toolbox = await request(tools);
  assert.equal(toolbox.executionType, "esriExecutionTypeAsynchronous");
  for (const task of toolbox.tasks) {
    const { name, executionType, parameters } = await request(`${tools}/${task}`);
    assert.deepEqual([name, executionType], [task, toolbox.executionType]);
    for (const parameter of parameters) {
      for (const field of ["name", "dataType", "displayName", "direction", "defaultValue", "parameterType"]) {
        assert.ok(field in parameter, `${task}: ${field} of ${parameter.name}`);
      }
    }
  }
  await assert.rejects(request(`${tools}/Missing`), refused(404, /Task/));
  await assert.rejects(request(`${services}/Missing/GPServer`), refused(404, /Service/));
}

async function gets_all_results() {
  const { Output_Features: output } = await (await Job.submitJob(buffer)).getAllResults();
  assert.equal(output.dataType, "GPFeatureRecordSetLayer");
  const { geometryType, spatialReference, fields, features } = output.value;
  assert.deepEqual([geometryType, spatialReference], ["esriGeometryPolygon", points.spatialReference]);
  assert.deepEqual(fields, points.fields);
  assert.deepEqual(features.map((feature) => feature.attributes.id), [1, 2]);
  const ring = features[1].geometry.rings[0];
  assert.ok(ring.length > 8 && ring.every(([x, y]) => Math.abs(Math.hypot(x - 9000, y) - 500) < 1));
}

async function waits_for_a_job() {
  const job = await slow(0.5);
  const info = await job.waitForCompletion();
  assert.deepEqual([info.id, info.status], [job.id, JOB_STATUSES.Success]);
  assert.deepEqual(info.results, { slept: { paramUrl: "results/slept" } });
  assert.deepEqual(info.inputs, { seconds: { paramUrl: "inputs/seconds" } });
  assert.equal((await job.getResult("slept")).value, 0.5);
}

async function watches_a_job() {
  const job = await slow(1.5);
  const seen = [];
  job.on(JOB_STATUSES.Status, (info) => seen.push(info));
  job.startEventMonitoring(100);
  await job.waitForCompletion();
  job.stopEventMonitoring();
  const executing = seen.filter((info) => info.status === JOB_STATUSES.Executing);
  const percents = executing.map((info) => info.progress.percent);
  assert.ok(percents.length > 2 && percents.every(Number.isInteger), JSON.stringify(percents));
  assert.deepEqual(percents, percents.toSorted((a, b) => a - b));
  assert.ok(percents.at(-1) > 50 && executing[0].messages.length > 0 && !executing[0].results);
}

async function goes_on_in_another_process() {
  const job = await slow(2);
  const again = spawnSync(process.execPath, [fileURLToPath(import.meta.url)], {
    env: { ...process.env, JOB: job.serialize() },
    encoding: "utf8",
  });
  assert.deepEqual([again.status, again.stdout], [0, "slept 2\n"], again.stderr);
}

async function cancels_a_job() {
  const job = await slow(60);
  await until(job, JOB_STATUSES.Executing);
  const told = await job.cancelJob();
  assert.deepEqual([told.jobId, told.jobStatus], [job.id, "esriJobCancelling"]);
  await until(job, JOB_STATUSES.Cancelled);
  const cancelled = (error) => error.name === "ArcGISJobError" && error.jobInfo.status === JOB_STATUSES.Cancelled;
  await assert.rejects(job.waitForCompletion(), cancelled);
  await assert.rejects(job.getAllResults(), cancelled);
  await assert.rejects(job.cancelJob(), refused(400));
  assert.deepEqual(await request(`${job.jobUrl}/results`), []);
}

async function is_told_why_a_job_failed() {
  const job = await Job.submitJob({ url: `${tools}/Broken`, params: {} });
  await assert.rejects(job.waitForCompletion(), (error) => {
    const { status, messages, results } = error.jobInfo;
    const wrong = messages.filter((message) => message.type === "esriJobMessageTypeError");
    assert.deepEqual([error.name, status, results, wrong.length], ["ArcGISJobError", JOB_STATUSES.Failed, undefined, 1]);
    return wrong[0].description.startsWith("ERROR 000732");
  });
  const incomplete = await Job.submitJob({ url: buffer.url, params: { Distance: buffer.params.Distance } });
  const unsaid = (error) => error.jobInfo.messages.some(({ description }) => /Input_Features/.test(description));
  await assert.rejects(incomplete.waitForCompletion(), unsaid);
}

async function needs_no_results() {
  const job = await Job.submitJob({ url: `${tools}/Silent`, params: {} });
  const info = await job.waitForCompletion();
  assert.deepEqual([info.status, info.results], [JOB_STATUSES.Success, undefined]);
}

async function finds_no_job_that_is_not_there() {
  const id = "j00000000000000000000000000000000";
  await assert.rejects(Job.fromExistingJob({ url: `${tools}/Slow`, id }), refused(400));
  const job = await slow(60);
  await assert.rejects(request(`${job.jobUrl}/results/slept`), refused(400));
  await assert.rejects(request(`${job.jobUrl}/results`), refused(400));
}

async function reads_all_of_a_job_in_both_ways() {
  for (const httpMethod of ["GET", "POST"]) {
    const options = { httpMethod };
    const params = { ...buffer.params, f: "json" };
    const { jobId } = await request(`${buffer.url}/submitJob`, { ...options, params });
    const url = `${buffer.url}/jobs/${jobId}`;
    await until(new Job({ url: buffer.url, id: jobId }), JOB_STATUSES.Success);
    const shown = await request(url, options);
    assert.deepEqual(shown.messages.map((message) => message.type), [
      "esriJobMessageTypeInformative",
      "esriJobMessageTypeWarning",
    ]);
    const brief = await request(url, { ...options, params: { returnMessages: false } });
    assert.deepEqual([brief.jobStatus, brief.messages], ["esriJobSucceeded", []]);
    const inputs = await request(`${url}/inputs`, options);
    assert.deepEqual(inputs.map((input) => input.paramName), Object.keys(shown.inputs));
    for (const input of inputs) {
      assert.deepEqual(input.value, buffer.params[input.paramName]);
      assert.deepEqual(await request(`${url}/${shown.inputs[input.paramName].paramUrl}`, options), input);
    }
    const [result] = await request(`${url}/results`, options);
    assert.deepEqual(await request(`${url}/${shown.results[result.paramName].paramUrl}`, options), result);
  }
}

async function executes_at_once() {
  const instant = `${services}/AtOnce/GPServer/Instant`;
  const { results } = await request(`${instant}/execute`, { params: { text: "a & b" } });
  assert.deepEqual(results, [{ paramName: "said", dataType: "GPString", value: "a & b" }]);
  await assert.rejects(Job.submitJob({ url: instant, params: {} }), refused(400, /synchronous/));
  await assert.rejects(request(`${buffer.url}/execute`), refused(400, /asynchronous/));
}

async function cooks_a_scene_and_may_not_be_heard() {
  const url = `${services}/System/SceneCachingControllers/GPServer/Manage%20Scene%20Cache`;
  const params = {
    service_url: `${services}/Hosted/City/SceneServer`,
    num_of_caching_service_instances: 2,
    layer: "{}",
    update_mode: "PARTIAL_UPDATE_NODES",
  };
  const cook = await Job.submitJob({ url, params });
  const { out_service_url } = await cook.getAllResults();
  assert.deepEqual([out_service_url.dataType, out_service_url.value], ["GPString", params.service_url]);
  const inputs = await request(`${cook.jobUrl}/inputs`);
  const given = inputs.map(({ paramName, value }) => [paramName, value]);
  const unsaid = { update_extent: "DEFAULT", area_of_interest: null };
  assert.deepEqual(given, Object.entries({ ...params, ...unsaid }));
  const stubborn = await Job.submitJob({ url: `${tools}/Stubborn`, params: { seconds: 1 } });
  await until(stubborn, JOB_STATUSES.Executing);
  assert.equal((await stubborn.cancelJob()).jobStatus, "esriJobCancelling");
  await until(stubborn, JOB_STATUSES.Success);
}

async function sees_what_goes_wrong_on_the_way() {
  const job = await Job.submitJob({ url: `${troubled}/Slow`, params: { seconds: 0.2 } });
  await assert.rejects(job.getJobInfo(), refused(500, /Unable to complete operation/));
  await assert.rejects(job.getJobInfo(), refused(498, /Invalid token/));
  await assert.rejects(job.getJobInfo(), refused("HTTP 500"));
  await assert.rejects(job.getJobInfo(), { name: "SyntaxError" });
  await assert.rejects(job.getJobInfo(), /terminated/);
  assert.equal((await job.getResult("slept")).value, 0.2);
}

async function signs_in_and_reaches_a_server_that_wants_tokens() {
  const portal = `${process.env.PORTAL_URL}/sharing/rest`;
  const login = { username: "ann", password: "ann-password", portal };
  const manager = await ArcGISIdentityManager.signIn(login);
  assert.equal((await manager.getUser()).username, "ann");
  const organization = await manager.getPortal();
  assert.deepEqual([organization.isPortal, organization.user.username], [true, "ann"]);
  await assert.rejects(request(secured), refused(499));
  await assert.rejects(request(secured, { authentication: "spoilt" }), refused(498));
  const authentication = manager.token;
  const job = await Job.submitJob({ url: `${secured}/Slow`, params: { seconds: 0.2 }, authentication });
  assert.equal((await job.getAllResults()).slept.value, 0.2);
}

async function exchanges_its_token_for_one_of_a_federated_server() {
  const portal = `${process.env.PORTAL_URL}/sharing/rest`;
  const manager = await ArcGISIdentityManager.signIn({ username: "ann", password: "ann-password", portal });
  await assert.rejects(request(strict, { authentication: manager.token }), refused(498));
  const job = await Job.submitJob({ url: `${strict}/Slow`, params: { seconds: 0.2 }, authentication: manager });
  assert.equal((await job.getAllResults()).slept.value, 0.2);
  assert.notEqual(await manager.getToken(strict), manager.token);
}

const CHECKS = [
  describes_its_services_and_tasks,
  gets_all_results,
  waits_for_a_job,
  watches_a_job,
  goes_on_in_another_process,
  cancels_a_job,
  is_told_why_a_job_failed,
  needs_no_results,
  finds_no_job_that_is_not_there,
  reads_all_of_a_job_in_both_ways,
  executes_at_once,
  cooks_a_scene_and_may_not_be_heard,
  sees_what_goes_wrong_on_the_way,
  signs_in_and_reaches_a_server_that_wants_tokens,
  exchanges_its_token_for_one_of_a_federated_server,
];

if (process.env.JOB) {
  const job = await Job.fromExistingJob(JSON.parse(process.env.JOB));
  console.log("slept", (await job.getResult("slept")).value);
} else {
  for (const check of CHECKS) {
    await check();
    console.log("ok", check.name);
  }
}
