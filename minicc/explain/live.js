"use strict";
/* The live part of the explorer: a program, its legal next moves, and what each would change and cost, in a window of its own.

   `live(element, kernel)` opens it, and gives the focus back to the element when it is closed. The server holds the schedule
   (`live.py`); this shows its state, and asks: each answer that is a state is shown as it is. Moves are known by their numbers
   in the list of a version of the program. Costs are asked for those in view, a few at a time, and never for a program that is
   no longer there. Words become text, never markup. */
const live = (() => {
  const FEW = 4;            // moves that are counted by one question
  const PAUSE = 120;        // milliseconds until a move that is pointed at is previewed

  function make(tag, attributes = {}, ...inside) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    made.append(...inside);
    return made;
  }

  function button(words, act, attributes = {}) {
    const made = make("button", { type: "button", ...attributes }, words);
    made.addEventListener("click", act);
    return made;
  }

  // ---- the server: it names this page in a stream of events, whose end tells it that the page is closed

  const KEPT = "minicc page";  // by which a page that is loaded again finds its sessions
  let page = null;
  const ended = make("p", { class: "live-ended", role: "alert" });
  const entered = new Promise(done => {
    const stream = new EventSource(`events?page=${encodeURIComponent(sessionStorage.getItem(KEPT) ?? "")}`);
    stream.addEventListener("message", ({ data }) => {
      if (page && page !== data) location.reload();  // the server has closed the page, and its sessions with it
      page = data;
      sessionStorage.setItem(KEPT, page);
      ended.remove();
      done();
    });
    stream.addEventListener("error", () => {
      ended.textContent = "The server does not answer: it has stopped, or too many pages are open. What you see stays as it is.";
      (document.querySelector("dialog[open]") ?? document.body).prepend(ended);  // a window hides what is below
    });
  });

  async function ask(action, fields) {
    await entered;
    const asked = { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ page, ...fields }) };
    const answer = await fetch(action, asked);
    if (!answer.ok) throw new Error(`${action}: ${(await answer.text()).trim()}`);
    return answer.json();
  }

  // ---- numbers

  const whole = new Intl.NumberFormat("en");
  const signed = new Intl.NumberFormat("en", { signDisplay: "exceptZero" });
  const short = { notation: "compact", maximumSignificantDigits: 5 };
  const brief = (format, n) => Math.abs(n) < 1e7 ? format.format(n) : new Intl.NumberFormat("en", { ...format.resolvedOptions(), ...short }).format(n);
  const COLUMNS = ["loads", "stores", "flops", "misses"];

  function duration(seconds) {
    const [unit, size] = [["s", 1], ["ms", 1e-3], ["µs", 1e-6], ["ns", 1e-9]].find(([, size]) => seconds >= size) ?? ["ns", 1e-9];
    return `${(seconds / size).toPrecision(3)} ${unit}`;
  }

  /** The caches of a text such as "32768/64/8, 1048576/64/16": bytes, line and ways of each; null where it is none. */
  function caches(text) {
    const found = text.split(",").filter(each => each.trim()).map(each => each.split("/").map(Number));
    const sound = found.length <= 4 && found.every(each => each.length <= 3 && each.every(n => Number.isInteger(n) && n > 0 && n < 2 ** 31));
    return sound ? found : null;
  }

  // ---- a row with costs: of the program as it is, or of a move

  class Row {
    constructor(first, measure) {
      this.cells = COLUMNS.map(name => make("span", { class: "live-number", title: name, "data-name": name }));
      this.measure = button("measure", measure, { class: "live-measure" });
      this.box = make("li", { class: "live-row" }, first, ...this.cells, this.measure);
    }

    /** Show counts, and how they differ from those of the program as it is. */
    count(found, now) {
      COLUMNS.forEach((name, k) => {
        const [own, old] = [found, now].map(counts => counts ? [counts[name]].flat() : []);
        const change = own.map((n, level) => n - (old[level] ?? n));
        this.cells[k].title = `${name}: ${own.map(n => whole.format(n)).join(" / ") || "not known"}`;
        this.cells[k].replaceChildren(make("span", {}, own.map(n => brief(whole, n)).join(" / ") || "–"));
        if (now && own.length) this.cells[k].append(make("small", {}, change.some(n => n) ? change.map(n => brief(signed, n)).join(" / ") : "="));
      });
    }

    refuse(why) {
      for (const cell of this.cells) cell.replaceChildren("–");
      this.cells[0].parentElement.title = why;
    }

    time({ seconds, least, most }, now) {
      this.measure.textContent = duration(seconds);
      this.measure.title = `median of several measurements, from ${duration(least)} to ${duration(most)}; click to measure again`;
      if (now) this.measure.append(make("small", {}, ` ${(seconds / now.seconds).toPrecision(2)}× of now`));
    }
  }

  // ---- the window of one kernel

  class Window {
    constructor(kernel) {
      this.kernel = kernel;
      this.about = new Set();      // the loops and buffers that moves are filtered to
      this.folded = new Set();     // the primitives whose moves are not shown
      this.build();
    }

    build() {
      this.title = make("h2", { id: `live-${this.kernel}` });
      this.program = make("pre", { class: "live-program", tabindex: 0, "aria-label": "the program" });
      this.key = make("p", { class: "note live-key" }, "Click a loop or a buffer to see its moves. Of a move that is pointed at, ",
        make("span", { class: "live-line cut" }, "- lines go"), " and ", make("span", { class: "live-line add" }, "+ lines come"), ".");
      this.typed = make("input", { class: "code", "aria-label": "a step", placeholder: 's.split("i", factor=8)', spellcheck: "false", autocomplete: "off" });
      this.form = make("form", { class: "live-bar" }, this.typed, make("button", {}, "do"));
      this.form.addEventListener("submit", event => { event.preventDefault(); this.change("type", { text: this.typed.value }); });
      this.refused = make("pre", { class: "live-refused", role: "alert", hidden: "" });
      this.undo = button("undo", () => this.go(this.state.position - 1));
      this.redo = button("redo", () => this.go(this.state.position + 1));
      this.trace = make("ol", { class: "live-trace", start: 0 });
      this.python = make("pre");
      this.copied = make("span", { role: "status", class: "note" });
      const exports = make("div", { class: "live-bar" },
        button("copy Python", () => this.copy()),
        button("save Python", () => this.save("schedule.py", this.state.python)),
        button("save JSON", () => this.save("schedule.json", this.state.json)), this.copied);
      this.filter = make("input", { type: "search", placeholder: "filter, such as split or i_o", "aria-label": "filter the moves" });
      this.filter.addEventListener("input", () => this.showMoves());
      this.chips = make("span");
      this.caches = make("input", { value: "32768/64/8", "aria-label": "caches as bytes/line/ways", size: 16 });
      this.sizes = make("span");
      this.settings = make("form", { class: "live-bar note" }, make("label", {}, "caches (bytes/line/ways): ", this.caches), this.sizes);
      this.settings.addEventListener("submit", event => event.preventDefault());
      this.settings.addEventListener("change", () => this.startCounts());
      this.said = make("span", { role: "status" });
      this.uncounted = make("span", { role: "status" });
      this.now = make("ul", { class: "live-rows" });
      this.list = make("div", { class: "live-list" });
      const heads = make("div", { class: "live-row live-heads", "aria-hidden": "true" }, make("span"), ...COLUMNS.map(name => make("span", {}, name)), make("span", {}, "time"));
      const left = make("div", { class: "live-left" }, this.key, this.program, this.form, this.refused,
        make("div", { class: "live-bar" }, make("b", {}, "Steps"), this.undo, this.redo), this.trace,
        make("details", {}, make("summary", {}, "As Python"), this.python), exports);
      const right = make("div", { class: "live-right" }, make("div", { class: "live-bar" }, make("b", {}, "Legal next moves"), this.filter, this.chips),
        this.settings, make("p", { class: "note live-said" }, this.said, " ", this.uncounted), heads, this.now, this.list);
      const close = button("close", () => this.dialog.close());
      this.dialog = make("dialog", { class: "live", "aria-labelledby": this.title.id }, make("div", { class: "live-bar live-head" }, this.title, close), make("div", { class: "live-both" }, left, right));
      this.dialog.addEventListener("keydown", event => this.key_(event));
      this.seen = new IntersectionObserver(entries => this.see(entries), { root: null, rootMargin: "100px" });
      document.body.append(this.dialog);
    }

    async open(element) {
      this.dialog.addEventListener("close", () => element.focus?.(), { once: true });
      this.dialog.showModal();
      if (!this.state) await this.change("state", {});
    }

    key_(event) {
      const letter = event.key.toLowerCase();
      if (!(event.ctrlKey || event.metaKey) || event.target.matches("input") || !"zy".includes(letter)) return;
      event.preventDefault();
      this.go(this.state.position + (letter === "y" || event.shiftKey ? 1 : -1));
    }

    // -- questions

    async ask(action, fields = {}) {
      try {
        const answer = await ask(action, { kernel: this.kernel, ...fields });
        if (answer.stale) return null;
        return answer;
      } catch (error) {
        return { refused: error.message };
      }
    }

    /** Ask for what leads to a state, and show it; a refused step leaves all as it is, and says why. */
    async change(action, fields) {
      const answer = await this.ask(action, fields) ?? await this.ask("state");
      this.refused.hidden = !answer.refused;
      this.refused.textContent = answer.refused ?? "";
      if (answer.refused) return;
      if (action === "type") this.typed.value = "";
      this.state = answer;
      this.show();
      await this.askMoves();
    }

    go(position) {
      if (position >= 0 && position <= this.state.steps.length) this.change("go", { position });
    }

    async askMoves() {
      const { version } = this.state;
      this.run = this.nowCounts = null;
      this.moves = [];
      this.rows = [];
      this.list.replaceChildren();
      delete this.list.dataset.version;  // it says of which program these are all moves
      this.said.textContent = "Finding the legal moves…";
      const answer = await this.ask("moves");
      if (!answer || version !== this.state.version) return;
      this.said.textContent = answer.refused ?? "";
      this.moves = answer.moves ?? [];
      this.rows = this.moves.map(({ text }, index) => this.moveRow(text.slice(2), index));
      this.showMoves();
      this.list.dataset.version = version;
      this.startCounts();
    }

    // -- what is shown

    show() {
      const { name, steps, position, sizes, python } = this.state;
      this.title.textContent = name;
      this.about = new Set([...this.about].filter(each => this.state.loops.includes(each) || this.state.buffers.includes(each)));
      this.showProgram();
      this.undo.disabled = position === 0;
      this.redo.disabled = position === steps.length;
      this.trace.replaceChildren(...["the naive program", ...steps].map((words, index) => make("li", index > position ? { class: "undone" } : {},
        button(words, () => this.go(index), { class: "code", ...(index === position ? { "aria-current": "step" } : {}) }), index > position ? make("small", {}, "undone") : "")));
      this.python.textContent = python;
      if (this.sizes.childElementCount !== sizes.length)
        this.sizes.replaceChildren(...sizes.map(size => make("label", {}, ` ${size} = `, make("input", { name: size, value: 64, size: 5 }))));
      this.times = new Map();
      this.nowRow = new Row(make("b", {}, "the program as it is"), () => this.time(null, this.nowRow));
      this.now.replaceChildren(this.nowRow.box);
    }

    showProgram() {
      const known = new Set([...this.state.loops, ...this.state.buffers]), met = new Set();
      this.program.replaceChildren(...this.state.program.map(line => make("div", { class: "live-line" }, "  ", ...line.split(/([A-Za-z_]\w*)/).map(word => {
        if (!known.has(word)) return word;
        const made = button(word, () => this.only(word), { class: "live-name", "aria-pressed": String(this.about.has(word)), tabindex: met.has(word) ? -1 : 0 });
        met.add(word);
        return made;
      }))));
    }

    /** Filter the moves to those that are about a loop or a buffer, too; or no more. */
    only(name) {
      if (!this.about.delete(name)) this.about.add(name);
      this.showProgram();
      this.showMoves();
    }

    moveRow(text, index) {
      const { version } = this.state;
      const act = button(text, () => this.change("move", { version, index }), { class: "code live-move" });
      const row = new Row(act, () => this.time(index, row));
      for (const kind of ["mouseenter", "focus"]) act.addEventListener(kind, () => this.preview(version, index));
      for (const kind of ["mouseleave", "blur"]) act.addEventListener(kind, () => this.preview(version, null));
      row.box.dataset.index = index;
      return row;
    }

    showMoves() {
      const wanted = this.filter.value.toLowerCase(), groups = new Map();
      this.moves.forEach(({ text, primitive, about }, index) => {
        if (!text.toLowerCase().includes(wanted) || ![...this.about].every(name => about.includes(name))) return;
        groups.set(primitive, [...groups.get(primitive) ?? [], this.rows[index].box]);
      });
      this.seen.disconnect();
      this.list.replaceChildren(...[...groups].map(([primitive, boxes]) => this.group(primitive, boxes)));
      for (const box of [...groups.values()].flat()) this.seen.observe(box);
      this.chips.replaceChildren(...[...this.about].map(name => button(`${name} ×`, () => this.only(name), { "aria-label": `no longer only ${name}` })));
      const shown = [...groups.values()].reduce((sum, boxes) => sum + boxes.length, 0);
      this.said.textContent = shown === this.moves.length ? `${shown} moves are legal.` : `${shown} of ${this.moves.length} legal moves.`;
    }

    group(primitive, boxes) {
      const made = make("details", this.folded.has(primitive) ? {} : { open: "" }, make("summary", {}, primitive, make("span", { class: "note" }, ` ${boxes.length}`)), make("ul", { class: "live-rows" }, ...boxes));
      made.addEventListener("toggle", () => this.folded[made.open ? "delete" : "add"](primitive));
      return made;
    }

    /** Show what a move would do to the program, in its place; null shows the program again. */
    preview(version, index) {
      clearTimeout(this.soon);
      this.pointed = index;
      if (index === null) { if (this.previewed) this.showProgram(); this.previewed = false; return; }
      this.soon = setTimeout(async () => {
        const answer = await this.ask("preview", { version, index });
        if (!answer?.lines || this.pointed !== index || version !== this.state.version) return;
        this.previewed = true;
        const kinds = { "+": "live-line add", "-": "live-line cut", " ": "live-line" };
        const changes = answer.lines.some(line => line[0] !== " ") ? [] : [make("div", { class: "live-line" }, "  # this move changes no line")];
        this.program.replaceChildren(...changes, ...answer.lines.map(line => make("div", { class: kinds[line[0]] }, `${line[0]} ${line.slice(1)}`)));
        const first = this.program.querySelector(".add, .cut");  // shown without scrolling anything but the program
        if (first) this.program.scrollTop += first.getBoundingClientRect().top - this.program.getBoundingClientRect().top - this.program.clientHeight / 3;
      }, PAUSE);
    }

    // -- costs

    costs() {
      const sizes = Object.fromEntries([...this.sizes.querySelectorAll("input")].map(input => [input.name, Math.min(Math.max(Math.trunc(input.value) || 0, 0), 2 ** 31 - 1)]));
      return { version: this.state.version, sizes };
    }

    /** Forget all counts, and count the program as it is; then the moves in view. */
    async startCounts() {
      const run = this.run = Symbol("counts");
      this.counted = new Set();
      this.nowCounts = null;
      this.uncounted.textContent = "";
      const [found] = await this.count([null]) ?? [];
      if (this.run !== run || !found) return;
      if (found.refused) {
        this.nowRow.refuse(found.refused);
        this.uncounted.textContent = `Costs are not counted, times can be measured: ${found.refused.split("\n")[0]}`;
        return;
      }
      if (found.why) this.uncounted.textContent = `Too large for the simulated caches: ${found.why}.`;
      this.nowCounts = found;
      this.nowRow.count(found, null);
      this.pump(run);
    }

    async count(indices) {
      const given = caches(this.caches.value);
      if (!given) return indices.map(() => ({ refused: `expected caches as in 32768/64/8, 1048576/64/16, got ${this.caches.value}` }));
      const answer = await this.ask("count", { ...this.costs(), indices, caches: given });
      return answer?.refused ? indices.map(() => answer) : answer?.counts;
    }

    see(entries) {
      for (const { target, isIntersecting } of entries) target.classList.toggle("seen", isIntersecting);
      if (this.nowCounts && !this.pumping) this.pump(this.run);
    }

    /** Count the moves in view, a few at a time, until all are or the program has changed. */
    async pump(run) {
      this.pumping = true;
      while (this.run === run) {
        const boxes = [...this.list.querySelectorAll(".live-row.seen")].filter(box => !this.counted.has(box.dataset.index)).slice(0, FEW);
        const found = boxes.length ? await this.count(boxes.map(box => Number(box.dataset.index))) : null;
        if (!found || this.run !== run) break;
        boxes.forEach((box, k) => {
          this.counted.add(box.dataset.index);
          const row = this.rows[box.dataset.index];
          found[k].refused ? row.refuse(found[k].refused) : row.count(found[k], this.nowCounts);
        });
      }
      if (this.run === run) this.pumping = false;
    }

    async time(index, row) {
      const { version } = this.state;
      row.measure.disabled = true;
      row.measure.textContent = "measuring…";
      const answer = await this.ask("measure", { ...this.costs(), index });
      row.measure.disabled = false;
      if (version !== this.state.version) return;
      row.measure.textContent = "measure";
      if (!answer || answer.refused) {
        this.refused.hidden = !answer;
        this.refused.textContent = answer?.refused ?? "";
        return;
      }
      if (index === null) this.nowTime = { ...answer, version };
      row.time(answer, index !== null && this.nowTime?.version === version ? this.nowTime : null);
    }

    // -- export

    async copy() {
      try {
        await navigator.clipboard.writeText(this.state.python);
        this.copied.textContent = "copied";
      } catch {
        this.copied.textContent = "the browser does not allow it; save it instead";
      }
    }

    save(name, text) {
      const link = make("a", { href: URL.createObjectURL(new Blob([text], { type: "text/plain" })), download: name });
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 1000);
    }
  }

  const windows = new Map();
  return (element, kernel) => {
    if (!windows.has(kernel)) windows.set(kernel, new Window(kernel));
    return windows.get(kernel).open(element);
  };
})();
