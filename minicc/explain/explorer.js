"use strict";
/* The explorer: shows what `explorer.py` wrote into the page, and lights up what belongs together.

   Everything follows from `state`, which the fragment of the address holds, too: the pass, the kernel and its step that are
   shown, and what is picked: operators of the model (`op`), a kernel (`all`), or a line of code (`at`). A line of a program
   knows the parts of its kernel that it computes; a call knows of which operators each part is; a line of LLVM or assembly
   knows the line of the last program it comes from. `relatives` goes these ways. Words become text, never markup. */
(() => {
  const told = JSON.parse(document.getElementById("explored").textContent);
  const { rows, texts } = told.pool, { kernels, passes, calls, operators } = told;
  const words = row => typeof rows[row] === "string" ? rows[row] : rows[row][0];
  const about = row => typeof rows[row] === "string" ? [] : rows[row].slice(1);

  function make(tag, attributes = {}, ...inside) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    made.append(...inside);
    return made;
  }

  // ---- what belongs together

  const meet = (list, set) => list.some(each => set.has(each));
  const all = lists => new Set(lists.flatMap(list => [...list]));
  const callsOf = kernel => calls.filter(call => call.kernel === kernel);
  const opsOf = call => call.parts.flat();
  const lastText = kernel => texts[kernels[kernel].steps.at(-1).text];

  /** The parts of a kernel that compute some of these operators. */
  function partsOf(kernel, ops) {
    return all(callsOf(kernel).map(call => call.parts.flatMap((own, part) => meet(own, ops) ? [part] : [])));
  }

  const isHead = row => /^\s*(for|if|while) /.test(words(row));

  /** The numbers, from 1, of the statements that compute some of these parts, and of the loops that compute nothing else. */
  function linesOf(text, parts) {
    const belongs = row => meet(about(row), parts) && (!isHead(row) || about(row).every(part => parts.has(part)));
    return new Set(text.flatMap((row, index) => belongs(row) ? [index + 1] : []));
  }

  /** The numbers of a line and, where it is the head of a loop or guard, of the lines inside of it. */
  function block(text, number) {
    const depth = row => words(row).search(/\S|$/), found = new Set([number]);
    const isInside = next => next < text.length && depth(text[next]) > depth(text[number - 1]);
    for (let next = number; isHead(text[number - 1]) && isInside(next); next++) found.add(next + 1);
    return found;
  }

  /** What is lit: operators, kernels, parts of the kernel that is shown, and lines of its last program. */
  function relatives({ kernel, op, all: whole, at }) {
    const none = { ops: new Set(), kernels: new Set(), parts: new Set(), lines: new Set() };
    if (op) {
      const ops = new Set(op), found = new Set(calls.filter(call => meet(opsOf(call), ops)).map(call => call.kernel));
      const parts = partsOf(kernel, ops);
      return { ops, kernels: found, parts, lines: kernels[kernel] ? linesOf(lastText(kernel), parts) : none.lines };
    }
    if (whole) return { ...none, ops: all(callsOf(kernel).map(opsOf)), kernels: new Set([kernel]) };
    if (!at) return none;
    const { steps, listings } = kernels[kernel], here = at.listing === undefined ? at.line : listings[at.listing].from[at.line - 1];
    const text = texts[steps[at.step ?? steps.length - 1].text], row = text[here - 1];
    const parts = new Set(row === undefined ? [] : about(row));
    const ops = all(callsOf(kernel).flatMap(call => [...parts].map(part => call.parts[part] ?? [])));
    const last = at.step === undefined || at.step === steps.length - 1;
    const own = row === undefined ? none.lines : at.listing === undefined ? block(text, here) : new Set([here]);
    return { ops, kernels: new Set([kernel]), parts, lines: last ? own : linesOf(lastText(kernel), parts) };
  }

  // ---- the state, and the fragment that holds it

  const changed = passes.flatMap((pass, index) => pass.before === pass.after ? [] : [index]);
  const start = { pass: changed.at(-1) ?? 0, kernel: 0, step: -1, tab: "" };
  let state = start;

  function written({ pass, kernel, step, op, all: whole, at, tab }) {
    const made = new URLSearchParams();
    if (passes.length) made.set("pass", pass);
    if (kernels.length) made.set("kernel", kernels[kernel].name);
    if (step >= 0) made.set("step", step);
    if (op) made.set("op", op.join("."));
    if (whole) made.set("all", "1");
    if (at) made.set("at", at.listing === undefined ? `step.${at.step}.${at.line}` : `listing.${at.listing}.${at.line}`);
    if (tab) made.set("tab", tab);
    return `#${made}`;
  }

  /** The state of a fragment; what does not fit this page is left out. */
  function read(fragment) {
    const given = new URLSearchParams(fragment.slice(1)), found = { ...start };
    const whole = (text, most) => /^\d{1,9}$/.test(text ?? "") && Number(text) < most ? Number(text) : undefined;
    found.pass = whole(given.get("pass"), passes.length) ?? start.pass;
    found.kernel = Math.max(kernels.findIndex(kernel => kernel.name === given.get("kernel")), 0);
    const { steps = [], listings = [] } = kernels[found.kernel] ?? {};
    found.step = whole(given.get("step"), steps.length) ?? -1;
    found.tab = lists.find(list => list.id === given.get("tab"))?.id ?? "";
    const ops = (given.get("op") ?? "").split(".").map(op => whole(op, operators.length)).filter(op => op !== undefined);
    const [where, which, line] = (given.get("at") ?? "").split(".");
    const k = whole(which, (where === "step" ? steps : listings).length);
    if (ops.length) {
      const computed = relatives({ ...found, op: ops }).kernels;
      Object.assign(found, { op: ops, kernel: computed.has(found.kernel) || !computed.size ? found.kernel : Math.min(...computed) });
    }
    else if (given.get("all") && kernels.length) found.all = true;
    else if (k !== undefined && whole(line, 1e9)) found.at = { [where === "step" ? "step" : "listing"]: k, line: Number(line) };
    return found;
  }

  /** Change the state; `quietly` leaves no entry for the Back button. */
  function go(changes, quietly = false) {
    state = { ...state, ...changes };
    history[quietly ? "replaceState" : "pushState"](null, "", written(state));
    show();
  }

  const pick = picked => go({ op: undefined, all: undefined, at: undefined, ...picked });

  /** Pick operators, and go to a kernel that computes one. */
  function pickOperators(op) {
    const found = relatives({ op }).kernels;
    pick({ op: op.length ? op : undefined, kernel: found.size && !found.has(state.kernel) ? Math.min(...found) : state.kernel });
  }

  const pickCall = ({ value }) => pick({ kernel: calls[value].kernel, step: -1, op: [...new Set(opsOf(calls[value]))] });

  // ---- lists of lines: every panel is one

  class List {
    constructor(id, title, picked, ...tools) {
      this.id = id;
      this.picked = picked;
      this.title = make("h2", { id: `${id}-title` }, title);
      this.box = make("div", { role: "listbox", tabindex: 0, "aria-labelledby": `${id}-title`, "aria-multiselectable": "true", class: "lines code" });
      const wider = make("button", { type: "button", class: "wider", "aria-label": `more room for ${title || "code"}` }, "↔");
      wider.setAttribute("aria-pressed", "false");
      this.panel = make("section", { class: "panel", id }, make("header", {}, this.title, wider), ...tools, this.box);
      wider.addEventListener("click", () => wider.setAttribute("aria-pressed", String(this.panel.classList.toggle("wide"))));
      this.box.addEventListener("click", event => this.choose(event.target.closest("[role=option]")));
      this.box.addEventListener("keydown", event => this.key(event));
    }

    /** Show items: {text, number, kind, value}; those of kind "add" and "cut" are marked. Nothing is done for what is there already. */
    fill(key, items) {
      if (this.key_ === key) return;
      this.key_ = key;
      this.items = items;
      this.options = items.map((item, index) => {
        const made = make("div", { role: "option", id: `${this.id}-${index}`, class: `line ${item.kind ?? ""}`, "aria-selected": "false" });
        if (item.kind !== undefined || item.number !== undefined) made.append(make("span", { class: "number" }, String(item.number ?? "")));
        if (item.kind !== undefined) made.append(make("span", { class: "sign" }, { add: "+", cut: "−" }[item.kind] ?? ""));
        made.append(make("span", { class: "words" }, item.text || " "));
        return made;
      });
      this.box.replaceChildren(...this.options);
      this.box.removeAttribute("aria-activedescendant");
      this.box.scrollTop = 0;
      this.reveal(this.options.filter((_, index) => items[index].kind));
    }

    /** Mark the item that other panels show. */
    show(shown) {
      this.options.forEach((option, index) => option.classList.toggle("shown", index === shown));
      this.reveal(this.options.slice(shown, shown + 1));
    }

    /** Light the items that `isLit(item)` says, bring one into view, and return how many they are. */
    light(isLit) {
      const lit = this.options.filter((option, index) => {
        const on = Boolean(isLit(this.items[index]));
        option.setAttribute("aria-selected", String(on));
        return on;
      });
      this.reveal(lit);
      return lit.length;
    }

    /** Scroll so that one of these is seen, if none is. */
    reveal(options) {
      const { scrollTop, clientHeight } = this.box;
      const seen = option => option.offsetTop >= scrollTop && option.offsetTop + option.offsetHeight <= scrollTop + clientHeight;
      if (options.length && !options.some(seen)) this.box.scrollTop = options[0].offsetTop - clientHeight / 3;
    }

    choose(option) {
      if (!option) return;
      this.activate(this.options.indexOf(option));
      this.picked(this.items[this.options.indexOf(option)]);
    }

    activate(index) {
      this.options[this.active]?.classList.remove("active");
      this.active = Math.min(Math.max(index, 0), this.options.length - 1);
      const option = this.options[this.active];
      if (!option) return;
      option.classList.add("active");
      this.box.setAttribute("aria-activedescendant", option.id);
      this.reveal([option]);
    }

    key(event) {
      const now = this.active ?? -1, page = 20;
      const places = { ArrowDown: now + 1, ArrowUp: now - 1, PageDown: now + page, PageUp: now - page, Home: 0, End: Infinity };
      const far = places[event.key];
      if (far !== undefined) this.activate(far);
      else if (event.key === "Enter" || event.key === " ") this.choose(this.options[this.active]);
      else return;
      event.preventDefault();
    }
  }

  const slider = make("input", { type: "range", min: 0, "aria-label": "step of the schedule" });
  const stepWords = make("p", { class: "step", "aria-live": "polite" });
  const moves = make("button", { type: "button" }, "moves");
  const nearStep = by => go({ step: Math.min(Math.max(shownStep() + by, 0), kernels[state.kernel].steps.length - 1) }, true);
  const earlier = make("button", { type: "button", "aria-label": "the step before" }, "◀");
  const later = make("button", { type: "button", "aria-label": "the next step" }, "▶");
  const stepTools = make("div", { class: "tools" }, earlier, slider, later, ...(told.live ? [moves] : []));
  slider.addEventListener("input", () => go({ step: Number(slider.value) }, true));
  earlier.addEventListener("click", () => nearStep(-1));
  later.addEventListener("click", () => nearStep(1));
  moves.addEventListener("click", () => live(loops.panel, state.kernel));

  const ofGraph = ({ ops }) => pickOperators(ops);
  const passWords = make("p", { class: "facts" }), kernelWords = make("div", { class: "facts" });
  const list = new List("passes", "Passes", ({ value }) => go({ pass: value }));
  const before = new List("before", "Graph before", ofGraph), after = new List("after", "and after", ofGraph);
  const names = new List("kernels", "Kernels", ({ value }) => pick({ kernel: value, step: -1, all: true }));
  const trace = new List("steps", "Steps", ({ value }) => go({ step: value }));
  const loops = new List("loops", "Loops", ({ number, step }) => number && pick({ at: { step, line: number } }), stepTools, stepWords);
  const code = [0, 1].map(k => new List(`listing${k}`, "", ({ number }) => pick({ at: { listing: k, line: number } })));
  const run = new List("calls", "Calls in order", pickCall);
  const whole = told.texts.map((text, k) => new List(`whole${k}`, text.name, () => {}));
  const ofModel = passes.length ? [list, before, after] : [], ofKernel = kernels.length ? [names, trace, loops, ...code] : [];
  const lists = [...ofModel, ...ofKernel, ...(calls.length ? [run] : []), ...whole];

  // ---- what is shown

  const shownStep = () => state.step < 0 ? (kernels[state.kernel]?.steps.length ?? 0) - 1 : state.step;

  function graphItems(text, changed, kind) {
    const marked = new Set(changed);
    return texts[text].map((row, index) => ({ text: words(row), number: index + 1, ops: about(row), kind: marked.has(index) ? kind : "" }));
  }

  /** The lines of a program, and among them those that its step has taken away, where they were. */
  function stepItems(steps, step) {
    const { text, cut, add } = steps[step], added = new Set(add), gone = new Set(cut), old = step ? texts[steps[step - 1].text] : [];
    const items = [];
    let from = 0;
    const take = () => { while (gone.has(from)) items.push({ text: words(old[from++]), kind: "cut" }); };
    texts[text].forEach((row, index) => {
      take();
      if (!added.has(index)) from++;
      items.push({ text: words(row), number: index + 1, step, kind: added.has(index) ? "add" : "" });
    });
    take();
    return items;
  }

  function showGraph() {
    const { name, why, cut, add, before: old, after: made } = passes[state.pass];
    list.fill("passes", passes.map((pass, value) => {
      const differs = pass.before !== pass.after, count = pass.nodes[0] === pass.nodes[1] ? pass.nodes[0] : pass.nodes.join(" → ");
      return { text: `${differs ? "●" : "○"} ${pass.name}\n${differs ? `${count} nodes` : "changes nothing"}, ${pass.ms} ms`, value };
    }));
    list.show(state.pass);
    before.title.textContent = `Graph before “${name}”`;
    passWords.textContent = `${name}: ${why}.`;
    before.fill(`${old} ${state.pass}`, graphItems(old, cut, "cut"));
    after.fill(`${made} ${state.pass}`, graphItems(made, add, "add"));
  }

  function kernelItem(kernel, value) {
    const own = callsOf(value), us = own.reduce((sum, call) => sum + (call.us ?? 0), 0);
    const facts = [own.length ? `${own.length} ${own.length === 1 ? "call" : "calls"}` : "", us ? `${us.toFixed(1)} µs` : "", kernel.recipe];
    return { text: `${kernel.name}\n${facts.filter(Boolean).join(", ")}`, value };
  }

  function showKernel() {
    const { name, recipe, reason, steps, listings } = kernels[state.kernel], step = shownStep();
    names.fill("kernels", kernels.map(kernelItem));
    names.show(state.kernel);
    loops.title.textContent = `Loops of ${name}`;
    kernelWords.replaceChildren(...(recipe ? [make("p", {}, make("b", {}, `recipe ${recipe}`), `: ${reason}`)] : []));
    trace.fill(String(state.kernel), steps.map((made, value) => ({ text: made.name, number: value, value })));
    trace.show(step);
    slider.max = steps.length - 1;
    slider.value = step;
    slider.setAttribute("aria-valuetext", steps[step].name);
    stepWords.textContent = `${step} of ${steps.length - 1}: ${steps[step].name}${steps[step].why ? ` — ${steps[step].why}` : ""}`;
    earlier.disabled = step === 0;
    later.disabled = step === steps.length - 1;
    loops.fill(`${state.kernel} ${step}`, stepItems(steps, step));
    code.forEach((list, k) => {
      list.panel.hidden = tabs.get(list).hidden = !listings[k];
      list.title.textContent = listings[k]?.name ?? "";
      const text = listings[k] ? texts[listings[k].text] : [];
      list.fill(String(state.kernel), text.map((row, index) => ({ text: words(row), number: index + 1, from: listings[k].from[index] })));
    });
  }

  function callItem({ place, kernel, us }, value) {
    const most = Math.max(...calls.map(call => call.us ?? 0), 1e-9), bar = us ? "▇".repeat(Math.max(Math.round(us / most * 24), 1)) : "";
    return { text: `${us === null ? "" : `${us.toFixed(1).padStart(9)} µs  `}${kernels[kernel].name}  ${bar}`, number: place + 1, value };
  }

  function show() {
    if (passes.length) showGraph();
    if (kernels.length) showKernel();
    run.fill("calls", calls.map(callItem));
    whole.forEach((list, k) => list.fill("", texts[told.texts[k].text].map((row, index) => ({ text: words(row), number: index + 1 }))));
    showLit();
  }

  /** Light up all that belongs to what is picked, in all panels, and say how much that is. */
  function showLit() {
    const { ops, kernels: found, parts, lines } = relatives(state), { at, op } = state;
    const steps = kernels[state.kernel]?.steps ?? [], last = shownStep() === steps.length - 1;
    const shownLines = last ? lines : linesOf(texts[steps[shownStep()].text], parts);
    const isPicked = (listing, number) => at && at.listing === listing && at.line === number;
    const isLitCall = value => op ? meet(opsOf(calls[value]), ops) : found.has(calls[value].kernel);
    const counts = new Map([
      [before, passes.length ? before.light(item => meet(item.ops, ops)) : 0],
      [after, passes.length ? after.light(item => meet(item.ops, ops)) : 0],
      [names, kernels.length ? names.light(item => found.has(item.value)) : 0],
      [loops, kernels.length ? loops.light(({ step, number }) => shownLines.has(number) || number && at?.step === step && at.line === number) : 0],
      ...code.map((list, k) => [list, kernels.length ? list.light(item => lines.has(item.from) || isPicked(k, item.number)) : 0]),
      [run, run.light(({ value }) => isLitCall(value))],
    ]);
    for (const [list, count] of counts) tabs.get(list)?.setAttribute("data-lit", count || "");
    for (const { box, ops: own } of boxes) box.classList.toggle("lit", meet(own, ops));
    for (const { box, value } of bars) box.classList.toggle("lit", isLitCall(value));
    status.textContent = said(counts, ops);
    clear.hidden = !(op || at || state.all);
    for (const list of lists) {
      list.panel.classList.toggle("front", list.id === (state.tab || lists[0].id));
      tabs.get(list).setAttribute("aria-pressed", String(list.id === (state.tab || lists[0].id)));
    }
  }

  function said(counts, ops) {
    if (!(state.op || state.at || state.all)) return "Click an operator, a kernel or a line: all that belongs to it lights up.";
    const shown = [...ops].slice(0, 3).map(op => operators[op]), more = ops.size > 3 ? ` and ${ops.size - 3} more` : "";
    const languages = (kernels[state.kernel]?.listings ?? []).map(({ name }, k) => [code[k], `of ${name}`]);
    const parts = [[after, "of the graph"], [loops, "of loops"], ...languages];
    const lit = parts.filter(([list]) => counts.get(list)).map(([list, what]) => `${counts.get(list)} ${what}`);
    const who = shown.join("; ") || (operators.length ? "No operator of the model" : "Here");
    const isCode = !state.op || relatives(state).kernels.size, listed = kernels[state.kernel]?.listings ?? [];
    const none = isCode ? "" : ": no kernel computes it. It moves nothing, was computed while the model was compiled, or waits for what data decide.";
    const isBare = state.op && listed.some(({ from }) => from.some(Boolean)) && !languages.some(([list]) => counts.get(list));
    const bare = isBare ? " None of its code: it has no elements, or others compute it." : "";
    return `${who}${more}${none || `: ${lit.length ? `lines: ${lit.join(", ")}` : "no lines here"}.${bare}`}`;
  }

  // ---- pictures: a box of a graph has the name of its node in the text of a pass, inside of the boxes around it

  /** The row of the text that a box is about. */
  function rowOf(box) {
    const names = [];
    for (let at = box; at; at = at.parentElement.closest("[data-node]")) names.unshift(at.dataset.node);
    const text = texts[passes[box.closest("[data-pass]").dataset.pass].after];
    const begins = (row, name, depth) => words(row).startsWith(`${"  | ".repeat(depth)}  ${name} = `);
    return names.reduce((from, name, depth) => text.findIndex((row, index) => index >= from && begins(row, name, depth)), 0);
  }

  const boxes = [...document.querySelectorAll("[data-pass] [data-node]")].map(box => {
    const row = texts[passes[box.closest("[data-pass]").dataset.pass].after][rowOf(box)];
    return { box, ops: row === undefined ? [] : about(row) };
  });
  const bars = [...document.querySelectorAll("[data-call]")].flatMap(box => {
    const value = calls.findIndex(call => call.place + 1 === Number(box.dataset.call));
    return value < 0 ? [] : [{ box, value }];
  });
  for (const { box, value } of bars) box.addEventListener("click", () => pickCall({ value }));
  for (const { box, ops } of boxes) box.addEventListener("click", event => { event.stopPropagation(); pickOperators(ops); });

  // ---- search, tabs, keys

  const search = make("input", { type: "search", placeholder: "operator or kernel", "aria-label": "Find an operator or a kernel" });
  const hits = new List("hits", "Found", ({ value: { op, kernel } }) => {
    if (op) pickOperators(op);
    else if (kernel !== undefined) pick({ kernel, step: -1, all: true });
    close();
  });
  const close = () => { search.value = ""; hits.panel.hidden = true; };
  const status = make("p", { class: "status", role: "status" });
  const clear = make("button", { type: "button" }, "clear");
  clear.addEventListener("click", () => pick({}));

  const known = [...operators.map((text, k) => ({ text, value: { op: [k] } })),
                 ...kernels.map(({ name }, k) => ({ text: `kernel ${name}`, value: { kernel: k } }))];
  search.addEventListener("input", () => {
    const wanted = search.value.toLowerCase(), found = wanted ? known.filter(({ text }) => text.toLowerCase().includes(wanted)).slice(0, 50) : [];
    hits.panel.hidden = !wanted;
    hits.fill(wanted, found.length ? found : [{ text: "nothing of this name", value: {} }]);
  });
  search.addEventListener("keydown", event => {
    if (event.key === "ArrowDown") { hits.box.focus(); hits.activate(0); }
    else if (event.key === "Enter" && !hits.panel.hidden && hits.items[0]) hits.choose(hits.options[0]);
    else return;
    event.preventDefault();
  });
  document.addEventListener("keydown", event => {
    if (event.key === "Escape") { close(); pick({}); }
    if (event.key === "/" && event.target !== search && !event.target.closest("input, textarea")) { search.focus(); event.preventDefault(); }
  });

  const tabs = new Map(lists.map(list => [list, make("button", { type: "button" })]));
  const short = { passes: "passes", before: "before", after: "after", kernels: "kernels", steps: "steps", loops: "loops",
                  listing0: told.kernels[0]?.listings[0]?.name, listing1: "asm", calls: "calls" };
  for (const [list, tab] of tabs) {
    tab.textContent = short[list.id] ?? list.title.textContent;
    tab.addEventListener("click", () => {
      go({ tab: list.id }, true);
      list.reveal(list.options.filter(option => option.getAttribute("aria-selected") === "true"));
    });
  }
  const signs = [["lit", "▸", "belongs to what is picked"], ["add", "+", "new"], ["cut", "−", "gone"]];
  if (passes.length) signs.push(["", "●", "a pass that changed the graph"], ["", "○", "one that did not"]);
  const key = signs.map(([kind, sign, meaning]) => make("span", {}, make("span", { class: `sign ${kind}` }, sign), ` ${meaning}`));
  hits.panel.hidden = true;
  names.panel.append(kernelWords);
  list.panel.append(passWords);
  const row = (kind, ...inside) => make("div", { class: `row ${kind}` }, ...inside.map(list => list.panel ?? list));
  const column = make("div", { class: "column" }, names.panel, trace.panel);
  document.getElementById("explorer").append(
    make("div", { class: "top" }, make("div", { class: "find" }, search, hits.panel), status, clear),
    make("p", { class: "key" }, ...key),
    make("nav", { "aria-label": "panels" }, ...tabs.values()),
    ...(passes.length ? [row("graph", list, before, after)] : []),
    ...(kernels.length ? [row(passes.length ? "machine" : "machine alone", column, loops, ...code)] : []),
    row("run", ...(calls.length ? [run] : []), ...whole),
  );
  addEventListener("popstate", () => { state = read(location.hash); show(); });
  state = read(location.hash);
  show();
})();
