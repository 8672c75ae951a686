"use strict";
const $ = (id) => document.getElementById(id);
const make = (tag, attributes = {}, ...inner) => {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node[name] = value;
    else if (value !== undefined && value !== null && value !== false) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...inner.flat().filter((each) => each !== null && each !== undefined));
  return node;
};
const drawn = (tag, attributes) => {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  return node;
};
const button = (text, onclick, kind = "") => make("button", { type: "button", class: kind, onclick }, text);
const panel = (title, ...inner) => make("section", { class: "panel" }, make("h2", {}, title), ...inner);
const kept = (name) => sessionStorage.getItem("modelyard." + name) || "";
const keep = (name, value) => sessionStorage.setItem("modelyard." + name, value);
const when = (seconds) => (seconds ? new Date(seconds * 1000).toLocaleString() : "");
const count = (number) => Number(number).toLocaleString("en");
const table = (names, rows, { numbers = [], free = [] } = {}) => make("div", { class: "scroll" }, make("table", {},
  make("thead", {}, make("tr", {}, ...names.map((name) => make("th", { scope: "col", class: numbers.includes(name) ? "number" : "" }, words.columns[name] || name)))),
  make("tbody", {}, ...rows.map((row) => make("tr", row.attributes || {}, ...names.map((name) =>
    make("td", { class: numbers.includes(name) ? "number" : free.includes(name) ? "free" : "" }, row[name] ?? "")))))));

// -- asking the service ----------------------------------------------------------------------------------------------------

class Refusal extends Error {
  constructor(status, message) { super(message); this.status = status; }
}
const ask = async (path, { method = "GET", body, admin = true, raw = false } = {}) => {
  const headers = { Accept: "application/json" };
  const secret = admin ? kept("admin") : kept("key");
  if (secret) headers.Authorization = "Bearer " + secret;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const answer = await fetch(path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
  if (raw && answer.ok) return answer;
  const text = await answer.text();
  let data = null;
  try { data = JSON.parse(text); } catch { /* told as it is */ }
  if (!answer.ok) throw new Refusal(answer.status, data && data.error ? data.error.message : text.slice(0, 300));
  return data;
};
const toast = (text) => {
  $("toast").textContent = text;
  $("toast").classList.add("on");
  setTimeout(() => $("toast").classList.remove("on"), 3500);
};
const attempt = async (work) => {
  try { await work(); } catch (error) { toast(error.message || words.offline); }
};

// -- dialogs ---------------------------------------------------------------------------------------------------------------

const dialog = (title, inner, actions) => {
  $("dialog").replaceChildren(make("h2", { id: "dialog-title" }, title), ...inner, make("div", { class: "buttons" }, ...actions));
  $("dialog").showModal();
};
const shut = () => $("dialog").close();
const confirmed = (question, inner, act, kind = "main") => dialog(question, inner, [
  button(words.cancel, shut), button(question.replace(/\?$/, "").split(" ").slice(0, 2).join(" "), () => attempt(async () => { await act(); shut(); toast(words.done); await show(); }), kind)]);
const signIn = () => {
  const field = make("input", { id: "admin-token", type: "password", autocomplete: "off" });
  const enter = () => attempt(async () => {
    keep("admin", field.value.trim());
    try { await ask("/admin/models"); } catch (error) { keep("admin", ""); throw error.status === 401 ? new Error(words.refused) : error; }
    shut();
    signed();
    await show();
  });
  field.onkeydown = (event) => { if (event.key === "Enter") { event.preventDefault(); enter(); } };
  dialog(words.adminTitle, [make("p", { class: "quiet" }, words.adminAsk), make("label", { for: "admin-token" }, words.token), field],
    [button(words.cancel, shut), button(words.signIn, enter, "main")]);
};
const signed = () => {
  $("sign").textContent = kept("admin") ? words.signOut : words.signIn;
  $("sign").onclick = () => { if (kept("admin")) { keep("admin", ""); signed(); show(); } else signIn(); };
};

// -- the playground --------------------------------------------------------------------------------------------------------

const kind = (schema) => schema["x-column-type"];
const share = (name, part, first) => {
  const svg = drawn("svg", { viewBox: "0 0 100 10", preserveAspectRatio: "none", "aria-hidden": "true" });
  svg.append(drawn("rect", { width: 100 * part, height: 10 }));
  return make("div", { class: "share" + (first ? " first" : "") }, make("span", {}, name), svg, make("span", {}, (100 * part).toFixed(1) + " %"));
};
const base64 = (file) => new Promise((resolve, reject) => {
  const reader = new FileReader();
  reader.onload = () => resolve(reader.result.split(",")[1]);
  reader.onerror = () => reject(reader.error);
  reader.readAsDataURL(file);
});
const fieldOf = (name, schema, index) => {
  const id = "field" + index, type = kind(schema);
  let input, extra = null, images = "";
  const node = () => make("div", { class: ["text", "image", "sequence"].includes(type) ? "wide" : "" }, make("label", { for: id }, name + " ", make("small", {}, type)), input, extra);
  if (type === "image") {
    const preview = make("img", { class: "preview", alt: "", hidden: true });
    const shown = (data) => { images = data; preview.hidden = !data; if (data) preview.src = "data:image/*;base64," + data; };
    input = make("input", { id, type: "file", accept: "image/*", onchange: async () => shown(input.files[0] ? await base64(input.files[0]) : "") });
    extra = preview;
    return { node: node(), input, fill: (value) => shown(value || ""), value: () => images || undefined };
  }
  if (type === "text" || type === "sequence") input = make("textarea", { id, class: type === "sequence" ? "mono" : "" });
  else if (type === "boolean") input = make("select", { id }, ...[["", words.missing], ["true", "true"], ["false", "false"]].map(([value, text]) => make("option", { value }, text)));
  else input = make("input", { id, type: "text", autocomplete: "off", inputmode: type === "number" ? "decimal" : undefined, list: schema["x-known-values"] ? id + "-known" : undefined });
  if (schema["x-known-values"]) extra = make("datalist", { id: id + "-known" }, ...schema["x-known-values"].map((value) => make("option", { value })));
  input.title = schema.description;
  const value = () => {
    const text = input.value;
    if (text === "") return undefined;
    if (type === "boolean") return text === "true";
    if (type === "number" && text.trim() !== "" && Number.isFinite(Number(text))) return Number(text);
    if (type === "sequence") { try { return JSON.parse(text); } catch { return text; } }
    return text;
  };
  const fill = (given) => { input.value = given === null || given === undefined ? "" : typeof given === "object" ? JSON.stringify(given) : String(given); };
  return { node: node(), input, fill, value };
};
const formOf = (api, name) => {
  const row = api.components.schemas.Row, example = row.examples[0];
  const made = api.components.schemas.Answer.properties.answer.contentMediaType === "image/png";
  const fields = Object.fromEntries(Object.entries(row.properties).map(([key, schema], index) => [key, fieldOf(key, schema, index)]));
  const fill = (values) => { for (const [key, field] of Object.entries(fields)) field.fill(values[key]); };
  const body = () => ({ row: Object.fromEntries(Object.entries(fields).map(([key, field]) => [key, field.value()])) });
  const raw = make("textarea", { class: "mono", "aria-label": "JSON", spellcheck: "false", hidden: true });
  const form = make("div", { class: "fields" }, ...Object.values(fields).map((field) => field.node));
  const result = make("section", { class: "panel", "aria-live": "polite" }, make("h2", {}, words.answer), make("p", { class: "quiet" }, words.pressSend));
  const swap = button(words.asJson, () => {
    raw.hidden = !raw.hidden;
    form.hidden = !raw.hidden;
    if (!raw.hidden) raw.value = JSON.stringify(body(), null, 2);
    swap.textContent = raw.hidden ? words.asJson : words.asForm;
  });
  const tell = (status, seconds, text) => {
    let data = null;
    try { data = JSON.parse(text); } catch { /* shown as it is */ }
    for (const field of Object.values(fields)) field.input.removeAttribute("aria-invalid");
    const found = [];
    for (const answer of (data && data.answers ? data.answers.slice(0, 20) : [])) {
      found.push(made ? make("img", { class: "made", alt: words.answer, src: "data:image/png;base64," + answer.answer }) : make("div", { class: "answer" }, String(answer.answer)));
      const parts = Object.entries(answer.probabilities || {}).sort((a, b) => b[1] - a[1]).slice(0, 10);
      for (const [key, part] of parts) found.push(share(key, part, key === answer.answer));
    }
    if (data && data.error) {
      found.push(make("p", { class: "bad" }, data.error.message));
      for (const fault of data.error.faults || []) if (fields[fault.field]) fields[fault.field].input.setAttribute("aria-invalid", "true");
    }
    const short = data ? JSON.stringify(data, (key, value) => (typeof value === "string" && value.length > 400 ? value.slice(0, 60) + "…" : value), 2) : text;
    result.replaceChildren(make("h2", {}, words.answer), ...found, make("p", { class: status < 400 && status ? "quiet" : "bad" }, words.seen(status, (seconds * 1000).toFixed(1))), make("pre", { tabindex: "0" }, short));
  };
  const send = async () => {
    const began = performance.now(), headers = { "Content-Type": "application/json" };
    if (kept("key")) headers.Authorization = "Bearer " + kept("key");
    try {
      const answer = await fetch("/v1/models/" + encodeURIComponent(name) + "/predict", { method: "POST", headers, body: raw.hidden ? JSON.stringify(body()) : raw.value });
      tell(answer.status, (performance.now() - began) / 1000, await answer.text());
    } catch (error) { tell(0, (performance.now() - began) / 1000, words.offline); }
  };
  fill(example);
  return make("div", { class: "grid" }, make("form", { class: "panel", onsubmit: (event) => { event.preventDefault(); send(); } }, make("h2", {}, words.request), form, raw,
    make("div", { class: "buttons" }, make("button", { class: "main", type: "submit" }, words.send), swap, button(words.empty, () => fill({})), button(words.example, () => fill(example)))), result);
};
const talkOf = (api, name) => {
  const messages = [], said = make("div", { class: "talk", role: "log", "aria-live": "polite", tabindex: "0" });
  const text = make("textarea", { id: "talk-text" }), system = make("input", { id: "talk-system", type: "text" });
  const temperature = make("input", { id: "talk-temperature", type: "number", min: 0, max: 2, step: 0.1, value: 0.7 }), most = make("input", { id: "talk-most", type: "number", min: 1, step: 1, value: 128 });
  const note = make("p", { class: "quiet", role: "status" });
  let stop = null;
  const go = make("button", { class: "main", type: "submit" }, words.send), halt = button(words.stop, () => stop && stop.abort());
  halt.disabled = true;
  const say = (role, content) => { const node = make("div", { class: "said " + role }, content); said.append(node); said.scrollTop = said.scrollHeight; return node; };
  const stream = async (path, body, node) => {
    const headers = { "Content-Type": "application/json" };
    if (kept("key")) headers.Authorization = "Bearer " + kept("key");
    stop = new AbortController();
    const answer = await fetch(path, { method: "POST", headers, signal: stop.signal, body: JSON.stringify({ ...body, stream: true, stream_options: { include_usage: true } }) });
    if (!answer.ok) {
      const refused = await answer.json();
      throw Object.assign(new Error(refused.error.message), { code: refused.error.code });
    }
    const reader = answer.body.getReader(), decoder = new TextDecoder();
    let rest = "", usage = null;
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return usage;
      rest += decoder.decode(value, { stream: true });
      const events = rest.split("\n\n");
      rest = events.pop();
      for (const event of events) {
        const line = event.replace(/^data: /, "");
        if (line === "[DONE]") continue;
        const chunk = JSON.parse(line);
        if (chunk.error) throw new Error(chunk.error.message);
        usage = chunk.usage || usage;
        for (const choice of chunk.choices) node.textContent += choice.delta ? choice.delta.content || "" : choice.text || "";
        said.scrollTop = said.scrollHeight;
      }
    }
  };
  let chats = true;
  const send = async () => {
    if (!text.value.trim() || stop) return;
    messages.push({ role: "user", content: text.value });
    say("user", text.value);
    text.value = "";
    const node = say("assistant", ""), began = performance.now();
    go.disabled = true;
    halt.disabled = false;
    const options = { model: name, temperature: Number(temperature.value), max_tokens: Number(most.value) };
    const whole = () => ({ ...options, messages: [...(system.value ? [{ role: "system", content: system.value }] : []), ...messages] });
    const plain = () => ({ ...options, prompt: messages[messages.length - 1].content });
    try {
      let usage = null;
      try { usage = await stream(chats ? "/v1/chat/completions" : "/v1/completions", chats ? whole() : plain(), node); } catch (error) {
        if (!chats || error.name === "AbortError" || !/conversation|chat/.test(error.message)) throw error;
        chats = false; // a model that only continues texts
        usage = await stream("/v1/completions", plain(), node);
      }
      if (usage) note.textContent = words.written(usage.completion_tokens, ((performance.now() - began) / 1000).toFixed(1));
      messages.push({ role: "assistant", content: node.textContent });
    } catch (error) {
      if (error.name !== "AbortError") { node.classList.add("bad"); node.textContent += " " + error.message; }
      messages.pop();
    } finally {
      stop = null;
      go.disabled = false;
      halt.disabled = true;
      text.focus();
    }
  };
  text.onkeydown = (event) => { if (event.key === "Enter" && !event.shiftKey) { event.preventDefault(); send(); } };
  return make("form", { class: "panel wide", onsubmit: (event) => { event.preventDefault(); send(); } }, make("h2", {}, name), said,
    make("div", { class: "fields" }, make("div", { class: "wide" }, make("label", { for: "talk-text" }, words.message), text), make("div", {}, make("label", { for: "talk-system" }, words.system), system),
      make("div", {}, make("label", { for: "talk-temperature" }, words.temperature), temperature), make("div", {}, make("label", { for: "talk-most" }, words.most), most)),
    make("div", { class: "buttons" }, go, halt, button(words.newTalk, () => { messages.length = 0; said.replaceChildren(); note.textContent = ""; })), note);
};
const playground = async (place) => {
  const listed = (await ask("/v1/models", { admin: false })).data;
  $("service").textContent = listed.map((model) => model.id).join(", ");
  const choose = make("select", { id: "model" }, ...listed.map((model) => make("option", { value: model.id }, model.id + " " + (model.version || ""))));
  const secret = make("input", { id: "key", type: "password", autocomplete: "off", value: kept("key"), oninput: () => keep("key", secret.value.trim()) });
  const room = make("div", {});
  const open = async () => {
    const api = await ask("/v1/models/" + encodeURIComponent(choose.value) + "/openapi.json", { admin: false });
    room.replaceChildren(api.paths["/v1/chat/completions"] ? make("div", { class: "grid" }, talkOf(api, choose.value)) : formOf(api, choose.value));
  };
  choose.onchange = () => attempt(open);
  place.append(make("div", { class: "panel fields" }, make("div", {}, make("label", { for: "model" }, words.model), choose), make("div", {}, make("label", { for: "key" }, words.keyLabel + " ", make("small", {}, words.keyAsk)), secret)), room);
  await open();
};

// -- live ------------------------------------------------------------------------------------------------------------------

const series = [];
const KEPT = 150, EVERY = 2000;
const quantile = (edges, counts, part) => {
  const total = counts[counts.length - 1];
  if (!total) return null;
  for (let index = 0; index < counts.length; index += 1) {
    if (counts[index] >= part * total) {
      const low = index ? edges[index - 1] : 0, below = index ? counts[index - 1] : 0, high = edges[index] ?? edges[edges.length - 1];
      return low + ((part * total - below) / Math.max(counts[index] - below, 1)) * (high - low);
    }
  }
  return edges[edges.length - 1];
};
const difference = (before, now) => {
  const seconds = now.now - before.now, all = (taken) => Object.values(taken.requests).reduce((sum, each) => sum + each, 0);
  const failed = (taken) => Object.entries(taken.requests).filter(([name]) => / 5\d\d$/.test(name)).reduce((sum, [, each]) => sum + each, 0);
  const asked = all(now) - all(before), counts = now.latency.counts.map((each, index) => each - before.latency.counts[index]);
  return { rate: Math.max(asked, 0) / seconds, failed: asked > 0 ? (failed(now) - failed(before)) / asked : 0, p50: quantile(now.latency.edges, counts, 0.5), p95: quantile(now.latency.edges, counts, 0.95) };
};
const chart = (title, lines) => {
  const highest = Math.max(1e-9, ...lines.flatMap((line) => line.values.filter((value) => value !== null)));
  const svg = drawn("svg", { class: "chart", viewBox: "0 0 300 100", preserveAspectRatio: "none", role: "img", "aria-label": `${title}: ${lines.map((line) => `${line.name} ${(line.values[line.values.length - 1] ?? 0).toPrecision(3)}`).join(", ")}` });
  for (const y of [2, 50, 98]) svg.append(drawn("line", { x1: 0, x2: 300, y1: y, y2: y }));
  for (const line of lines) {
    const points = line.values.map((value, index) => (value === null ? null : `${(300 * (index + KEPT - line.values.length)) / (KEPT - 1)},${98 - (96 * value) / highest}`)).filter(Boolean);
    svg.append(drawn("polyline", { class: line.mark, points: points.join(" ") }));
  }
  return panel(title, svg, make("div", { class: "legend" }, ...lines.map((line) => make("span", {}, make("i", { class: line.mark }), line.name)), make("span", {}, "top: " + highest.toPrecision(3))));
};
let ticking = null;
const live = async (place) => {
  const room = make("div", {});
  place.append(room);
  const tick = async () => {
    const taken = await ask("/admin/live");
    if (series.length && taken.now - series[series.length - 1].taken.now < 0.5) return;
    const last = series[series.length - 1];
    series.push({ taken, point: last ? difference(last.taken, taken) : { rate: 0, failed: 0, p50: null, p95: null } });
    if (series.length > KEPT) series.shift();
    const points = series.map((each) => each.point), now = points[points.length - 1], ms = (value) => (value === null ? "–" : (value * 1000).toPrecision(3) + " ms");
    const figure = (value, text) => make("div", { class: "figure" }, make("b", {}, value), make("span", { class: "quiet" }, text));
    room.replaceChildren(
      make("div", { class: "figures" }, figure(now.rate.toFixed(1), words.rate), figure((100 * now.failed).toFixed(1) + " %", words.errors), figure(ms(now.p50), words.p50), figure(ms(now.p95), words.p95), figure(count(taken.in_flight), words.inFlight),
        ...Object.entries(taken.units).map(([unit, sum]) => figure(count(sum), unit + ", " + words.sold))),
      make("div", { class: "grid" }, chart(words.chartRate, [{ name: words.rate, mark: "a", values: points.map((point) => point.rate) }]),
        chart(words.chartTime, [{ name: "50 %", mark: "a", values: points.map((point) => (point.p50 === null ? null : point.p50 * 1000)) }, { name: "95 %", mark: "b", values: points.map((point) => (point.p95 === null ? null : point.p95 * 1000)) }]),
        make("section", { class: "panel wide" }, make("h2", {}, words.recent), taken.recent.length ? table(["at", "path", "status", "ms", "rows", "key", "id"],
          taken.recent.slice(0, 30).map((each) => ({ ...each, at: new Date(each.at * 1000).toLocaleTimeString(), status: make("span", { class: each.status >= 500 ? "bad" : each.status >= 400 ? "warn" : "good" }, String(each.status)), ms: each.ms.toFixed(1) })), { numbers: ["ms", "rows"] }) : make("p", { class: "quiet" }, words.noRequests))));
  };
  await tick();
  ticking = setInterval(() => tick().catch(() => {}), EVERY);
};

// -- models ----------------------------------------------------------------------------------------------------------------

const exact = (share) => (100 * share).toFixed(1) + " %";
const labelled = (found) => make("div", { class: "labels" }, make("h2", {}, words.labels), found.length ? found.map((one) => make("p", {},
  words.judged(one.version, exact(one.value), exact(one.low), exact(one.high), count(one.rows)),
  one.expected ? "; " + (one.expected.metric === "within" ? words.within(exact(one.expected.value), one.expected.tolerance) : words.promised(exact(one.expected.value), exact(one.expected.low))) + ". " : ". ",
  one.expected ? make("span", { class: one.below ? "bad" : "good" }, one.below ? words.worse : words.asPromised) : null)) : make("p", { class: "quiet" }, words.noLabels));
const models = async (place) => {
  const [{ models: listed }, { models: judged }] = await Promise.all([ask("/admin/models"), ask("/admin/quality")]);
  const change = (name, what, body = {}) => ask(`/admin/models/${encodeURIComponent(name)}/${what}`, { method: "POST", body });
  place.append(make("div", { class: "grid" }, ...listed.map((model) => {
    const trial = model.trial, reason = make("input", { id: "reason", type: "text" });
    const back = () => confirmed(words.sureRollBack(model.name), [make("label", { for: "reason" }, words.why), reason], () => change(model.name, "roll-back", { reason: reason.value }), "danger");
    return panel(model.name,
      make("p", {}, make("span", { class: "tag" }, words.live), ` ${model.live.version} `, make("span", { class: "quiet" }, when(model.live.since))),
      trial ? make("div", {}, make("p", {}, make("span", { class: "tag" }, words.trial), ` ${trial.version}: ${words.ofRequests(trial.kind, trial.percent)}`),
        make("p", { class: "quiet" }, [words.failed(trial.failed, trial.asked), words.compared(trial.differed, trial.compared)].join("; ")),
        make("div", { class: "buttons" }, button(words.promote, () => confirmed(words.surePromote(model.name, trial.version), [], () => change(model.name, "promote")), "main"), button(words.endTrial, back, "danger")))
        : make("div", {}, make("p", { class: "quiet" }, words.noTrial, " ", make("code", {}, "yard models try PACKAGE --state DIR")), model.past.length ? make("div", { class: "buttons" }, button(`${words.rollBack}: ${model.past[0].version}`, back, "danger")) : null),
      labelled(judged.filter((one) => one.name === model.name)),
      make("h2", {}, words.events), table(["at", "event", "version", "reason"], model.events.slice().reverse().slice(0, 12).map((event) => ({ at: when(event.at), event: event.kind.replace("_", " "), version: event.version, reason: event.reason })), { free: ["reason"] }));
  })));
};

// -- customers -------------------------------------------------------------------------------------------------------------

let picked = "";
const thisMonth = () => new Date().toISOString().slice(0, 7);
const shownOnce = (key) => dialog(words.keyTitle, [make("p", { class: "quiet" }, words.keyOnce), make("div", { class: "key", id: "new-key" }, key)],
  [button(words.copy, () => attempt(async () => { await navigator.clipboard.writeText(key); toast(words.copied); })), button(words.close, () => { shut(); show(); }, "main")]);
const money = (amount, currency) => (amount === null ? words.unknownCost : `${amount} ${currency}`);
const earnings = ({ machine, currencies }) => make("section", { id: "earning" }, make("h2", {}, words.earning), ...currencies.map((one) => make("div", { class: "figures" },
  ...[[words.earned, money(one.earned, one.currency)], [words.cost, money(one.cost, one.currency)], [words.perThousand, money(one.cost_per_thousand, one.currency)], [words.margin, one.margin === null ? words.unknownCost : exact(Number(one.margin))]]
    .map(([name, value]) => make("div", { class: "figure" }, make("b", {}, value), make("span", { class: "quiet" }, name))))),
  make("p", { class: "quiet" }, machine ? words.priceFrom(`${machine.price} ${machine.currency}`, machine.source) : words.noPrice));
const customers = async (place) => {
  const [{ customers: listed }, { plans }, earned] = await Promise.all([ask("/admin/customers"), ask("/admin/plans"), ask("/admin/earning")]);
  const name = make("input", { id: "customer-name", type: "text", required: true, maxlength: 120 });
  const plan = make("select", { id: "customer-plan" }, ...plans.map((each) => make("option", { value: each.name }, `${each.name} (${each.price} ${each.currency})`)));
  const create = (event) => { event.preventDefault(); attempt(async () => { picked = (await ask("/admin/customers", { method: "POST", body: { name: name.value, plan: plan.value } })).id; await show(); }); };
  const room = make("div", { class: "grid" });
  place.append(earnings(earned), make("div", { class: "grid" },
    make("section", { class: "panel wide" }, make("h2", {}, words.sections.customers), listed.length ? table(["name", "plan", "requests", "created", "state"], listed.map((each) => ({
      attributes: { class: "pick" + (each.id === picked ? " picked" : ""), onclick: () => { picked = each.id; attempt(detail); } },
      name: make("button", { type: "button", class: "plain", onclick: () => { picked = each.id; attempt(detail); } }, each.name), plan: each.plan, requests: count(each.requests), created: when(each.created), state: each.closed ? words.closed : words.active,
    })), { numbers: ["requests"] }) : make("p", { class: "quiet" }, words.noCustomers)),
    make("form", { class: "panel", onsubmit: create }, make("h2", {}, words.newCustomer), make("div", { class: "fields" }, make("div", {}, make("label", { for: "customer-name" }, words.columns.name), name), make("div", {}, make("label", { for: "customer-plan" }, words.columns.plan), plan)),
      make("div", { class: "buttons" }, make("button", { class: "main", type: "submit" }, words.create)))), room);
  const detail = async () => {
    const customer = listed.find((each) => each.id === picked);
    if (!customer) { room.replaceChildren(make("p", { class: "quiet" }, words.pick)); return; }
    const path = "/admin/customers/" + encodeURIComponent(picked), month = make("input", { id: "month", type: "month", value: thisMonth(), onchange: () => attempt(use) });
    const { keys } = await ask(path + "/keys");
    const used = make("div", {});
    const use = async () => {
      const { usage } = await ask(`${path}/usage?month=${month.value}`);
      used.replaceChildren(usage.length ? table(["unit", "tariff", "used"], usage.map((each) => ({ ...each, used: count(each.used) })), { numbers: ["used"] }) : make("p", { class: "quiet" }, words.noUse));
    };
    const invoice = (format) => attempt(async () => {
      const answer = await ask(`${path}/invoice?month=${month.value}&format=${format}`, { raw: true });
      const link = make("a", { href: URL.createObjectURL(await answer.blob()), download: `${customer.name}-${month.value}.${format}` });
      link.click();
    });
    room.replaceChildren(
      make("section", { class: "panel wide" }, make("h2", {}, `${words.keys}: ${customer.name}`), table(["key", "name", "scopes", "created", "expires", "state", "event"], keys.map((key) => ({
        key: make("span", { class: "mono" }, key.shown), name: key.name, scopes: key.scopes.join(", "), created: when(key.created), expires: when(key.expires), state: key.revoked ? words.revoked : key.ended ? words.ended : words.active,
        event: key.revoked || key.ended ? "" : make("span", { class: "buttons" }, button(words.rotate, () => confirmed(words.sureRotate(key.shown), [], async () => { const made = await ask(`/admin/keys/${key.id}/rotate`, { method: "POST", body: {} }); setTimeout(() => shownOnce(made.key), 0); })),
          button(words.revoke, () => confirmed(words.sureRevoke(key.shown), [], () => ask(`/admin/keys/${key.id}/revoke`, { method: "POST", body: {} }), "danger"), "danger")),
      })), { free: ["scopes"] }), make("div", { class: "buttons" }, button(words.newKey, () => attempt(async () => shownOnce((await ask(path + "/keys", { method: "POST", body: {} })).key)), "main"),
        customer.closed ? null : button(words.closeCustomer, () => confirmed(words.sureClose(customer.name), [], () => ask(path + "/close", { method: "POST", body: {} }), "danger"), "danger"))),
      panel(words.usage, make("label", { for: "month" }, words.month), month, used, make("div", { class: "buttons" }, ...["html", "pdf", "csv", "json"].map((format) => button(`${words.invoice} ${format.toUpperCase()}`, () => invoice(format))))));
    await use();
  };
  await detail();
};

// -- drift -----------------------------------------------------------------------------------------------------------------

const percent = (share) => (100 * share).toFixed(share && share < 0.1 ? 1 : 0) + " %";
const watched = (feature) => { const at = feature.lastIndexOf("."); return words.drift.parts[feature.slice(at + 1)](feature.slice(0, at)); };
const written = (value, kind) => (typeof value !== "number" ? value : kind === "date" ? new Date(value * 1000).toLocaleDateString() : Number(value.toPrecision(4)).toLocaleString(undefined, { maximumSignificantDigits: 4 }));
const binName = (bin, kind) => {
  const low = written(bin.low, kind), high = written(bin.high, kind), keys = words.drift.keys;
  if (bin.key === "just" || bin.key === "above") return keys[bin.key](low);
  if (bin.key !== "between") return keys[bin.key](bin.value);
  return bin.low === null ? (bin.high === null ? "" : keys.below(high)) : bin.high === null ? keys.over(low) : keys.between(low, high);
};
const shiftOf = ({ shift, kind }) => `${words.drift.keys[shift.key](written(shift.value, kind))}: ${percent(shift.before)} → ${percent(shift.now)}`;
const bars = (moved) => {
  const highest = Math.max(1e-9, ...moved.bins.flatMap((bin) => [bin.before, bin.now])), wide = 300 / moved.bins.length;
  const named = (bin) => (moved.feature.endsWith(".word") && bin.key === "between" ? words.drift[bin.low === null ? "lacking" : "having"] : binName(bin, moved.kind));
  const told = moved.bins.map((bin) => `${named(bin)} ${percent(bin.before)} → ${percent(bin.now)}`);
  const svg = drawn("svg", { class: "chart bars", viewBox: "0 0 300 100", preserveAspectRatio: "none", role: "img", "aria-label": `${watched(moved.feature)}: ${told.join("; ")}` });
  moved.bins.forEach((bin, index) => ["before", "now"].forEach((mark, second) => {
    const high = (96 * bin[mark]) / highest, bar = drawn("rect", { class: mark, x: wide * (index + 0.1 + 0.4 * second), width: wide * 0.38, y: 98 - high, height: high }), title = drawn("title", {});
    title.textContent = told[index];
    bar.append(title);
    svg.append(bar);
  }));
  svg.append(drawn("line", { x1: 0, x2: 300, y1: 98, y2: 98 }));
  const ends = moved.bins.length > 1 ? [named(moved.bins[0]), named(moved.bins[moved.bins.length - 1])] : [named(moved.bins[0]), ""];
  return make("figure", { class: "drifted" }, make("figcaption", {}, make("b", {}, watched(moved.feature)), make("br"), shiftOf(moved)), svg,
    make("div", { class: "ends quiet" }, ...ends.map((end) => make("span", {}, end))),
    make("div", { class: "legend" }, ...["before", "now"].map((mark) => make("span", {}, make("i", { class: mark }), words.drift[mark])), make("span", {}, `${words.drift.share}, top: ${percent(highest)}`)));
};
const strip = (model) => make("div", { class: "strip" }, ...model.history.slice().reverse().map((each) => make("i", { class: each.drift ? "found" : "", title: words.drift.window(each.drift, when(each.at)), role: "img", "aria-label": words.drift.window(each.drift, when(each.at)) })));
const driftOf = (model) => {
  const name = `${model.name} ${model.version}`, verdict = model.verdict, quiet = (text) => make("p", { class: "quiet" }, text), wide = (...inner) => make("section", { class: "panel wide" }, make("h2", {}, name), ...inner);
  if (!model.window) return wide(quiet(words.drift.none(model.reason)));
  const coming = [quiet(words.drift.wait(count(model.rows), count(model.window))), model.dropped ? quiet(words.drift.dropped(count(model.dropped))) : null];
  if (!verdict) return wide(quiet(words.drift.unseen), ...coming);
  const off = verdict.features.filter((each) => each.statistic > each.threshold), shown = off.length ? off : verdict.features.slice(0, 3);
  return wide(make("p", { class: verdict.drift ? "bad" : "good" }, make("b", {}, verdict.drift ? words.drift.found : words.drift.calm)),
    quiet(words.drift.closed(when(verdict.at), count(verdict.rows), count(model.reference))), make("div", { class: "grid" }, ...shown.slice(0, 3).map(bars)),
    table(["feature", "shift", "statistic", "threshold"], shown.map((each) => ({ feature: watched(each.feature), statistic: each.statistic.toFixed(2), threshold: each.threshold.toFixed(2), shift: shiftOf(each) })), { numbers: ["statistic", "threshold"], free: ["shift"] }),
    quiet(words.drift.history(count(model.windows), count(model.drifted))), strip(model), ...coming, quiet(words.drift.rate(percent(model.rate))));
};
const drift = async (place) => {
  const room = make("div", { class: "grid" });
  place.append(room);
  Object.assign(words.columns, words.drift.columns);
  const tick = async () => room.replaceChildren(...(await ask("/admin/drift")).models.map(driftOf));
  await tick();
  ticking = setInterval(() => tick().catch(() => {}), 5 * EVERY);
};

// -- the frame -------------------------------------------------------------------------------------------------------------

const sections = { playground, live, models, customers, drift };
const open = new Set(["playground"]);
const current = () => { const name = location.hash.slice(1); return sections[name] ? name : "playground"; };
const show = async () => {
  const name = current();
  clearInterval(ticking);
  for (const link of $("nav").children) link.toggleAttribute("aria-current", link.hash === "#" + name);
  document.title = words.sections[name];
  const place = make("div", {}, make("h1", {}, words.sections[name]), make("p", { class: "quiet" }, words.about[name]));
  try {
    if (!open.has(name) && !kept("admin")) throw new Refusal(401, words.adminNeeded);
    await sections[name](place);
  } catch (error) {
    place.append(make("div", { class: "panel" }, make("p", { class: error.status === 401 ? "" : "bad" }, error.status === 401 ? words.adminNeeded : error.message || words.offline), ...(error.status === 401 ? [button(words.signIn, signIn, "main")] : [])));
  }
  if (name === current()) $("main").replaceChildren(place);
};
const themed = (name) => {
  document.documentElement.dataset.theme = name;
  $("theme").textContent = name === "dark" ? words.light : words.dark;
  localStorage.setItem("modelyard.theme", name);
};
const watch = async () => {
  let text = words.gone;
  try { text = words[(await (await fetch("/readyz")).json()).status] || words.gone; } catch { /* told so */ }
  $("state").textContent = text;
  $("dot").className = "dot " + (text === words.ready ? "good" : "bad");
};
for (const name of Object.keys(sections)) $("nav").append(make("a", { href: "#" + name }, words.sections[name]));
$("theme").onclick = () => themed(document.documentElement.dataset.theme === "dark" ? "light" : "dark");
themed(localStorage.getItem("modelyard.theme") || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light"));
addEventListener("hashchange", () => { show(); $("main").focus(); });
$("dialog").addEventListener("close", () => $("dialog").replaceChildren()); // also when it was ended by Escape
signed();
watch();
setInterval(watch, 5000);
show();
