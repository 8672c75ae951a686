// Every sentence of the console, in one place.
const words = {
  sections: { playground: "Playground", live: "Live", models: "Models", customers: "Customers", drift: "Drift" },
  about: {
    playground: "Ask a model as a customer would.",
    live: "What the service is doing now, all its processes together.",
    models: "Which version answers, which one is tried, and what happened.",
    customers: "Who asks and pays: keys, usage of the month, invoices.",
    drift: "Whether what comes in, and what goes out, still looks like what the model was made with.",
  },
  ready: "ready", warming: "warming up", draining: "draining", gone: "no answer",
  light: "Light", dark: "Dark", signIn: "Sign in", signOut: "Sign out",
  adminTitle: "Administrator", adminAsk: "The token that the service wrote into its state folder, or was given. It is kept in this tab only.",
  adminNeeded: "This section is for the administrator.", token: "Token", keyLabel: "Key", keyAsk: "a customer's key; kept in this tab only",
  cancel: "Cancel", close: "Close", copy: "Copy", copied: "Copied.", send: "Send", stop: "Stop", example: "Example", empty: "Empty", asJson: "Edit as JSON", asForm: "Edit as form",
  answer: "Answer", pressSend: "Press Send.", request: "Request", model: "Model", missing: "(missing)", newTalk: "New conversation", message: "Message", system: "Instructions",
  temperature: "Temperature", most: "Tokens at most", prompt: "Text to continue",
  seen: (status, ms) => `Status ${status} in ${ms} ms, seen from this page`, written: (n, s) => `${n} tokens in ${s} s`,
  rate: "requests a second", errors: "of them failed", p50: "half answered within", p95: "95 % answered within", inFlight: "being answered", sold: "units sold since the start",
  noRequests: "No requests yet.", chartRate: "Requests a second, the last five minutes", chartTime: "Time to answer, the last five minutes (ms)", recent: "Latest requests of this process",
  columns: { at: "time", path: "path", status: "status", ms: "ms", rows: "rows", key: "key", id: "request", name: "name", plan: "plan", requests: "requests this month", created: "since", scopes: "may", expires: "ends", state: "state",
    unit: "unit", tariff: "tariff", used: "used", event: "what", version: "version", reason: "why" },
  live: "live", trial: "on trial", noTrial: "Nothing is on trial. Place or try a package with", promote: "Make it live", rollBack: "Roll back", endTrial: "End the trial", why: "Why?",
  ofRequests: (kind, percent) => `${kind}, ${percent} % of the requests`, compared: (differed, compared) => `${differed} of ${compared} answers differ`,
  failed: (failed, asked) => `${failed} of ${asked} requests failed`, events: "What happened", sureRollBack: (name) => `Roll ${name} back?`, surePromote: (name, version) => `Make ${name} ${version} live?`,
  newCustomer: "New customer", create: "Create", keys: "Keys", newKey: "New key", rotate: "Rotate", revoke: "Revoke", revoked: "revoked", active: "active", ended: "ended",
  keyTitle: "The new key", keyOnce: "It is shown this once and stored nowhere. Hand it to the customer now.", sureRevoke: (key) => `Revoke ${key}? Requests with it are refused at once.`, sureRotate: (key) => `Replace ${key}? The old one goes on for 24 hours.`,
  usage: "Usage", month: "Month", invoice: "Invoice", view: "View", noUse: "Nothing used in this month.", pick: "Choose a customer to see keys, usage and invoices.", noCustomers: "No customer yet.", closed: "closed", closeCustomer: "Close account", sureClose: (name) => `Close the account of ${name}? None of its keys is accepted any more; its ledger stays.`,
  offline: "The service does not answer.", refused: "The token is not accepted.", done: "Done.",
};

// Of drift, in the language of the browser.
const ofDrift = {
  en: {
    none: (why) => `Nothing to compare with: ${why}.`, wait: (n, of) => `${n} of ${of} rows of this window have come.`, dropped: (n) => `${n} rows came too fast to be watched.`,
    calm: "No drift in the last window.", found: "Drift in the last window.", unseen: "No window is full yet.", rate: (share) => `Where nothing has changed, ${share} of the windows alarm all the same.`,
    closed: (when, rows, reference) => `Window of ${rows} rows, closed ${when}; compared with ${reference} rows that the model did not learn from.`,
    history: (windows, drifted) => `The last windows, the latest on the right; of ${windows} so far ${drifted} drifted.`, window: (drift, when) => `${drift ? "Drift" : "No drift"}, ${when}`,
    columns: { feature: "what is watched", statistic: "how far off", threshold: "allowed", shift: "share of the rows, before → now" }, before: "before", now: "now", share: "share of the rows", lacking: "without them", having: "with them",
    parts: { value: (name) => name, length: (name) => `length of ${name}`, digits: (name) => `digits in ${name}`, uppercase: (name) => `capitals in ${name}`, punctuation: (name) => `punctuation in ${name}`, spaces: (name) => `spaces in ${name}`,
      other_scripts: (name) => `letters beyond a to z in ${name}`, word: (name) => `words of ${name}`, brightness: (name) => `brightness of ${name}`, contrast: (name) => `contrast of ${name}`, saturation: (name) => `colour of ${name}`, edges: (name) => `edges in ${name}`,
      dark: (name) => `black in ${name}`, light: (name) => `white in ${name}`, mean: (name) => `mean of ${name}`, spread: (name) => `spread of ${name}`, class: () => "class answered", confidence: () => "how sure the answers are" },
    keys: { over: (value) => `from ${value} on`, above: (value) => `above ${value}`, just: (value) => `just ${value}`, below: (value) => `below ${value}`, between: (low, high) => `${low} to ${high}`, is: (value) => value, rest: () => "rare or new values", missing: () => "missing", word: () => "with certain words" },
  },
  zh: {
    none: (why) => `没有可比较的参照：${why}`, wait: (n, of) => `本窗口已收到 ${n} 行，共需 ${of} 行。`, dropped: (n) => `${n} 行来得太快，未被监测。`,
    calm: "上一窗口没有漂移。", found: "上一窗口出现漂移。", unseen: "还没有一个窗口收满。", rate: (share) => `即使一切未变，也会有 ${share} 的窗口误报。`,
    closed: (when, rows, reference) => `窗口 ${rows} 行，于 ${when} 结束；与模型未曾学习过的 ${reference} 行比较。`,
    history: (windows, drifted) => `最近的窗口，最新的在右边；至今 ${windows} 个窗口中有 ${drifted} 个漂移。`, window: (drift, when) => `${drift ? "漂移" : "无漂移"}，${when}`,
    columns: { feature: "监测对象", statistic: "偏离程度", threshold: "允许值", shift: "所占行数比例，之前 → 现在" }, before: "之前", now: "现在", share: "所占行数比例", lacking: "不含", having: "含",
    parts: { value: (name) => name, length: (name) => `${name} 的长度`, digits: (name) => `${name} 中的数字`, uppercase: (name) => `${name} 中的大写字母`, punctuation: (name) => `${name} 中的标点`, spaces: (name) => `${name} 中的空白`,
      other_scripts: (name) => `${name} 中 a–z 以外的文字`, word: (name) => `${name} 的用词`, brightness: (name) => `${name} 的亮度`, contrast: (name) => `${name} 的对比度`, saturation: (name) => `${name} 的色彩`, edges: (name) => `${name} 中的边缘`,
      dark: (name) => `${name} 中的黑色`, light: (name) => `${name} 中的白色`, mean: (name) => `${name} 的均值`, spread: (name) => `${name} 的离散度`, class: () => "回答的类别", confidence: () => "回答的把握" },
    keys: { over: (value) => `不小于 ${value}`, above: (value) => `大于 ${value}`, just: (value) => `恰为 ${value}`, below: (value) => `小于 ${value}`, between: (low, high) => `${low} 至 ${high}`, is: (value) => value, rest: () => "少见或新的值", missing: () => "缺失", word: () => "含某些词" },
  },
};
words.drift = ofDrift[(navigator.language || "en").startsWith("zh") ? "zh" : "en"];
