// Lists the operations of openapi.json, each with a form to try it. All text is set as text, never as markup.
"use strict";

const make = (name, properties = {}, ...children) => {
  const element = Object.assign(document.createElement(name), properties);
  element.append(...children);
  return element;
};

function fieldsOf(operation) {
  const fields = (operation.parameters ?? []).map((parameter) => ({ ...parameter, place: parameter.in }));
  const content = operation.requestBody?.content ?? {};
  const media = Object.keys(content)[0];
  if (media === "application/json") {
    fields.push({ name: "body", place: "json", required: true, description: "JSON", schema: {} });
  } else if (media) {
    const { properties = {}, required = [] } = content[media].schema;
    for (const [name, schema] of Object.entries(properties)) {
      const { description } = schema;
      fields.push({ name, place: "form", media, description, required: required.includes(name), schema });
    }
  }
  return fields;
}

function inputFor(field) {
  if (field.place === "json") return make("textarea", { rows: 8, cols: 70, value: "{}" });
  if (field.schema?.format === "binary") return make("input", { type: "file" });
  if (!field.schema?.enum) return make("input", { size: 40 });
  return make("select", {}, ...["", ...field.schema.enum].map((value) => make("option", { value }, value)));
}

async function send(base, method, path, filled) {
  const query = new URLSearchParams();
  const headers = new Headers();
  const token = document.getElementById("token").value.trim();
  if (token) headers.set("Authorization", `Bearer ${token}`);
  let form, body;
  for (const { field, input } of filled) {
    const value = input.type === "file" ? input.files[0] : input.value;
    if (!value) continue;
    if (field.place === "path") path = path.replace(`{${field.name}}`, encodeURIComponent(value));
    else if (field.place === "query") query.append(field.name, value);
    else if (field.place === "header") headers.set(field.name, value);
    else if (field.place === "json") {
      body = value;
      headers.set("Content-Type", "application/json");
    } else {
      form ??= field.media === "multipart/form-data" ? new FormData() : new URLSearchParams();
      form.append(field.name, value);
    }
  }
  const text = query.size ? `${path}?${query}` : path;
  const answer = await fetch(base + text, { method, headers, body: body ?? form, credentials: "omit" });
  const media = answer.headers.get("Content-Type") ?? "";
  let shown = media.startsWith("text/") || media.includes("json") ? await answer.text() : `(${media})`;
  if (media.includes("json")) shown = JSON.stringify(JSON.parse(shown), null, 2);
  return `${answer.status} ${answer.statusText}\n${shown}`;
}

function section(base, path, method, operation) {
  const filled = fieldsOf(operation).map((field) => ({ field, input: inputFor(field) }));
  const rows = filled.map(({ field, input }) => {
    const label = make("th", {}, field.name + (field.required ? " *" : ""));
    if (field.name === "f") input.value = "json";
    const about = make("small", {}, ` ${field.description ?? ""} (${field.place})`);
    return make("tr", {}, label, make("td", {}, input, about));
  });
  const answer = make("pre", { hidden: true });
  const button = make("button", { type: "button" }, "Send");
  button.addEventListener("click", async () => {
    answer.hidden = false;
    answer.textContent = "...";
    answer.textContent = await send(base, method.toUpperCase(), path, filled).catch(String);
  });
  const title = make("code", {}, `${method.toUpperCase()} ${path}`);
  const summary = make("summary", {}, title, ` ${operation.summary ?? ""}`);
  return make("details", {}, summary, make("table", {}, ...rows), make("p", {}, button), answer);
}

async function list() {
  const described = await (await fetch("openapi.json")).json();
  const base = described.servers[0].url.replace(/\/$/, "");
  const place = document.getElementById("operations");
  place.textContent = "";
  const groups = new Map();
  for (const [path, item] of Object.entries(described.paths)) {
    for (const [method, operation] of Object.entries(item)) {
      const tag = operation.tags?.[0] ?? "";
      if (!groups.has(tag)) groups.set(tag, []);
      groups.get(tag).push(section(base, path, method, operation));
    }
  }
  for (const [tag, sections] of groups) place.append(make("h2", {}, tag), ...sections);
  document.getElementById("find").addEventListener("input", (event) => {
    const wanted = event.target.value.toLowerCase();
    for (const details of place.querySelectorAll("details")) {
      details.hidden = !details.firstChild.textContent.toLowerCase().includes(wanted);
    }
  });
}

list();
