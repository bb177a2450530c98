// The patient's side of a sealed letter. The key is in the link's fragment, which browsers send to
// nobody; it stays in this page's memory and leaves the address bar once the letter is open. The
// answers go to the practice's server, the ciphertext comes from it, and the letter is unlocked here.
// Format: plugins/reengage/sealing/portal.py. Nothing is kept: no cookie, no storage.
"use strict";
(() => {
  const byId = (id) => document.getElementById(id);
  const words = byId("words").dataset;
  const STATES = ["ask", "letter", "preferences", "incomplete", "locked", "reported"];
  const base = new URL("..", location.href);
  const messageId = location.pathname.split("/").pop();
  let key = location.hash.slice(1);
  let session = null;

  const policy = window.trustedTypes
    ? window.trustedTypes.createPolicy("letter", { createHTML: (text) => text })
    : { createHTML: (text) => text };

  function show(state) {
    for (const id of STATES) byId(id).hidden = id !== state;
    byId(state).querySelector("h1").focus();
    window.scrollTo(0, 0);
  }

  // ----- talking to the server

  async function ask(path, { method = "GET", body } = {}) {
    const headers = {};
    if (body !== undefined) headers["Content-Type"] = "application/json";
    if (session) headers.Authorization = `Bearer ${session}`;
    let answer;
    try {
      answer = await fetch(new URL(`api/letters/${messageId}/${path}`, base), {
        method, headers, body: body === undefined ? undefined : JSON.stringify(body),
        credentials: "omit", cache: "no-store", redirect: "error", referrerPolicy: "no-referrer",
      });
    } catch {
      throw { word: "offline" };
    }
    if (answer.ok) return answer;
    let said = {};
    try { said = await answer.json(); } catch { /* a server before ours */ }
    throw { word: said.problem || "server", seconds: said.seconds };
  }

  // A server that has too many answers to look at counted none of them: it is asked again.
  async function askPatiently(path, options) {
    for (let tries = 0; ; tries += 1) {
      try {
        return await ask(path, options);
      } catch (problem) {
        if (problem.word !== "crowded" || tries === 3) throw problem;
        await new Promise((later) => { setTimeout(later, problem.seconds * 1000); });
      }
    }
  }

  // ----- unlocking

  const octets = (text) =>
    Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));

  async function unlock(sealed) {
    if (sealed[0] !== 1 || sealed.length < 29) throw { word: "key" };
    try {
      const secret = await crypto.subtle.importKey("raw", octets(key), "AES-GCM", false, ["decrypt"]);
      const bound = new TextEncoder().encode(`reengage/portal/1/${messageId}`);
      const plain = await crypto.subtle.decrypt(
        { name: "AES-GCM", iv: sealed.subarray(1, 13), additionalData: bound, tagLength: 128 },
        secret, sealed.subarray(13),
      );
      return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(plain));
    } catch {
      throw { word: "key" };
    }
  }

  // ----- showing the letter: its words and structure, nothing that runs or fetches

  const KEPT = new Set(["H2", "H3", "P", "UL", "OL", "LI", "DL", "DT", "DD", "STRONG", "EM", "B", "I", "BR", "A"]);
  const DROPPED = new Set(["SCRIPT", "STYLE", "HEAD", "TEMPLATE", "IFRAME", "OBJECT", "EMBED", "SVG", "MATH", "FORM", "INPUT", "BUTTON", "IMG", "VIDEO", "AUDIO", "LINK", "META", "TITLE"]);
  const LINKS = /^(https:\/\/|tel:\+?[0-9]|mailto:[^?]+)/;

  function copy(from, into) {
    for (const node of from.childNodes) {
      if (node.nodeType === Node.TEXT_NODE) into.append(node.data);
      if (node.nodeType !== Node.ELEMENT_NODE) continue;
      const name = node.tagName.toUpperCase();
      if (DROPPED.has(name) || /display:\s*none/.test(node.getAttribute("data-style") || "")) continue;
      const kept = name === "H1" ? "H2" : name;
      if (!KEPT.has(kept)) {  // of a table, which e-mail needs, the cells remain as paragraphs
        const cell = name === "TD" ? document.createElement("DIV") : into;
        copy(node, cell);
        if (cell !== into && cell.textContent.trim()) into.append(cell);
        continue;
      }
      const made = document.createElement(kept);
      const leads = kept === "A" ? node.getAttribute("href") || "" : "";
      if (LINKS.test(leads)) { made.href = leads; made.rel = "noreferrer noopener"; made.target = "_blank"; }
      copy(node, made);
      if (made.textContent.trim() || kept === "BR") into.append(made);
    }
  }

  // What e-mail needs and this page forbids is renamed, or the browser reports each as a violation.
  // Nothing rests on it: nothing of an attribute but a link is copied.
  const quiet = (html) =>
    html
      .replace(/(<\/?)style\b/gi, "$1template")
      .replace(/<[^>]*>/g, (tag) => tag.replace(/\s(style|on\w+)(?==)/gi, " data-$1"));

  function read(page) {
    const parsed = new DOMParser().parseFromString(policy.createHTML(quiet(page.html)), "text/html");
    byId("subject").textContent = page.subject;
    const text = byId("text");
    text.replaceChildren();
    text.lang = parsed.documentElement.lang || document.documentElement.lang;
    byId("subject").lang = text.lang;
    copy(parsed.body, text);
    if (!text.textContent.trim()) text.append(page.text);
    history.replaceState(null, "", location.pathname + location.search);
    show("letter");
  }

  // ----- the form

  const PARTS = { birth: "month", zip: "second", number: "second" };

  function complain(problems) {
    const list = byId("error-list");
    list.replaceChildren();
    for (const input of byId("ask-form").elements) input.removeAttribute?.("aria-invalid");
    for (const { word, seconds } of problems) {
      const item = document.createElement("li");
      const text = (words[word] || words.server).replace("{seconds}", String(seconds || ""));
      const part = PARTS[word];
      if (part) {
        const link = document.createElement("a");
        link.href = `#${part}`;
        link.textContent = text;
        link.addEventListener("click", (event) => { event.preventDefault(); byId(part).focus(); });
        item.append(link);
        for (const id of word === "birth" ? ["month", "day", "year"] : [part]) {
          byId(id).setAttribute("aria-invalid", "true");
        }
      } else item.textContent = text;
      list.append(item);
    }
    byId("errors").hidden = problems.length === 0;
    if (problems.length) byId("errors").focus();
  }

  function birthDate() {
    const [year, month, day] = ["year", "month", "day"].map((id) => byId(id).value.trim());
    if (!/^[0-9]{4}$/.test(year) || !/^[0-9]{1,2}$/.test(month) || !/^[0-9]{1,2}$/.test(day)) return null;
    const found = new Date(Date.UTC(+year, +month - 1, +day));
    const isDay = found.getUTCMonth() === +month - 1 && found.getUTCDate() === +day;
    return isDay && +year >= 1850 && found <= new Date() ? found.toISOString().slice(0, 10) : null;
  }

  function answers() {
    const birth = birthDate();
    const second = byId("second").value.trim();
    const isZip = byId("second").dataset.kind === "zip";
    const problems = [];
    if (birth === null) problems.push({ word: "birth" });
    if (isZip ? !/^[0-9]{5}(-?[0-9]{4})?$/.test(second) : !second) {
      problems.push({ word: isZip ? "zip" : "number" });
    }
    return { body: { birth_date: birth, second }, problems };
  }

  function busy(button, on) {
    button.setAttribute("aria-disabled", String(on));
  }

  function failed(problem) {
    if (problem.word === "locked") show("locked");
    else {
      show("ask");
      complain([problem.word ? problem : { word: "server" }]);
    }
  }

  async function open(event) {
    event.preventDefault();
    const button = byId("open");
    if (button.getAttribute("aria-disabled") === "true") return;
    const { body, problems } = answers();
    complain(problems);
    if (problems.length) return;
    busy(button, true);
    byId("opening").textContent = byId("opening").dataset.text;
    try {
      session = null;
      session = (await (await askPatiently("sessions", { method: "POST", body })).json()).session;
      const sealed = new Uint8Array(await (await ask("ciphertext")).arrayBuffer());
      const page = await unlock(sealed);
      byId("ask-form").reset();
      read(page);
    } catch (problem) {
      failed(problem);
    } finally {
      busy(button, false);
      byId("opening").textContent = "";
    }
  }

  async function report(event) {
    const button = event.currentTarget;
    if (button.getAttribute("aria-disabled") === "true") return;
    busy(button, true);
    try {
      await ask("report", { method: "POST" });
      byId("text").replaceChildren();
      session = null;
      show("reported");
    } catch (problem) {
      failed(problem);
    } finally {
      busy(button, false);
    }
  }

  // ----- how the patient is written to

  function troubled(problem) {
    if (problem.word === "session" || problem.word === "locked") { failed(problem); return; }
    const place = byId("preference-errors");
    place.querySelector("p").textContent =
      (words[problem.word] || words.server).replace("{seconds}", String(problem.seconds || ""));
    place.hidden = false;
    place.focus();
  }

  function fill(standing) {
    byId("preference-errors").hidden = true;
    const stopped = new Set(standing.stopped);
    const marks = {
      stop_all: () => stopped.has("*"),
      stop_campaigns: (value) => stopped.has(value),
      stop_purposes: (value) => stopped.has(`purpose:${value}`),
      revoke: (value) => standing.revoked.includes(value) || standing.revoked.includes("*"),
      restrict: () => standing.restricted,
    };
    for (const input of byId("preference-form").elements) {
      if (input.type === "radio") input.checked = input.value === standing.language;
      if (input.type !== "checkbox") continue;
      const is = marks[input.name](input.value);
      input.checked = is;
      input.disabled = is && input.name !== "revoke";
      if (is && input.name === "revoke") input.checked = false;
    }
    byId("address-form").hidden = !standing.offers_another_address;
    byId("address-now").hidden = !standing.another_address;
  }

  async function how() {
    try {
      fill(await (await ask("preferences")).json());
      byId("saved").textContent = "";
      show("preferences");
    } catch (problem) {
      failed(problem);
    }
  }

  async function save(body) {
    byId("saved").textContent = "";
    try {
      fill(await (await ask("preferences", { method: "POST", body })).json());
      byId("saved").textContent = byId("saved").dataset.text;
      byId("preferences").querySelector("h1").focus();
      window.scrollTo(0, 0);
    } catch (problem) {
      troubled(problem);
    }
  }

  function savePreferences(event) {
    event.preventDefault();
    const marked = (name) =>
      [...byId("preference-form").querySelectorAll(`input[name=${name}]:checked:enabled`)].map((i) => i.value);
    save({
      stop_all: marked("stop_all").length > 0, stop_campaigns: marked("stop_campaigns"),
      stop_purposes: marked("stop_purposes"), revoke: marked("revoke"),
      restrict: marked("restrict").length > 0, language: marked("language")[0] || null,
    });
  }

  async function sendAddress(event) {
    event.preventDefault();
    const input = byId("address");
    const error = byId("address-error");
    error.textContent = byId("address-sent").textContent = "";
    input.removeAttribute("aria-invalid");
    try {
      await ask("address", { method: "POST", body: { address: input.value.trim() } });
      byId("address-sent").textContent = byId("address-sent").dataset.text;
      input.value = "";
    } catch (problem) {
      if (problem.word !== "address" && problem.word !== "unusable") { troubled(problem); return; }
      error.textContent = error.dataset.text;
      input.setAttribute("aria-invalid", "true");
      input.focus();
    }
  }

  // ----- begin

  byId("ask-form").addEventListener("submit", open);
  byId("print").addEventListener("click", () => window.print());
  byId("how").addEventListener("click", how);
  byId("back").addEventListener("click", () => show("letter"));
  byId("preference-form").addEventListener("submit", savePreferences);
  byId("address-form").addEventListener("submit", sendAddress);
  byId("address-on-file").addEventListener("click", () => save({ address_on_file: true }));
  for (const button of document.querySelectorAll("[data-report]")) button.addEventListener("click", report);
  // The other language is another page: the key goes with it, in the fragment as before, and stays
  // behind in no entry of the history.
  byId("other-language").addEventListener("click", (event) => {
    event.preventDefault();
    location.replace(event.currentTarget.getAttribute("href") + (key ? `#${key}` : ""));
  });
  window.addEventListener("hashchange", () => {
    if (location.hash.length > 20) location.reload();
  });

  const whole = /^[A-Za-z0-9_-]{43}$/.test(key) && /^[A-Za-z0-9_-]{22}$/.test(messageId);
  show(whole && window.crypto && crypto.subtle ? "ask" : "incomplete");
})();
