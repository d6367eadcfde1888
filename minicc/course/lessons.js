"use strict";
/* What all pages of the course do: open the contents where there is room, and find words. The page of the search holds the
   passages; all others send their words there. Words become text, never markup. */
(() => {
  const field = document.getElementById("find"), found = document.getElementById("found"), most = 40;
  const menu = document.querySelector("details.menu");
  if (matchMedia("(min-width: 1000px)").matches) menu.open = true;
  addEventListener("keydown", event => {
    if (event.key !== "/" || document.activeElement === field) return;
    event.preventDefault();
    field.focus();
  });
  if (!found) {
    field.addEventListener("keydown", event => {
      if (event.key === "Enter" && field.value.trim()) location.href = `${field.dataset.to}#${encodeURIComponent(field.value.trim())}`;
    });
    return;
  }
  const { pages, passages } = JSON.parse(document.getElementById("passages").textContent);
  const lower = passages.map(([page, , section, text]) => [text, section, pages[page][1]].map(words => words.toLowerCase()));

  /** How well a passage has all of the words: 0 where one is missing. */
  function score([text, section, title], words) {
    let sum = 0;
    for (const word of words) {
      const at = text.indexOf(word);
      const here = (at < 0 ? 0 : at === 0 || /[^\p{L}\p{N}_]/u.test(text[at - 1]) ? 2 : 1) + 3 * section.includes(word) + title.includes(word);
      if (!here) return 0;
      sum += here;
    }
    return sum + 4 * text.includes(words.join(" ")) + 20 * (section === words.join(" "));
  }

  /** The part of a text around the first of the words, with each of them marked. */
  function around(text, words) {
    const places = words.map(word => text.toLowerCase().indexOf(word)).filter(at => at >= 0);
    const from = Math.max(Math.min(...places, text.length) - 70, 0), part = text.slice(from, from + 240);
    const pattern = new RegExp(`(${words.map(word => word.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")).join("|")})`, "iu");
    const shown = document.createElement("span");
    if (from) shown.append("… ");
    part.split(pattern).forEach((piece, k) => {
      const mark = k % 2 ? document.createElement("mark") : "";
      if (mark) mark.textContent = piece;
      shown.append(mark || piece);
    });
    if (from + 240 < text.length) shown.append(" …");
    return shown;
  }

  function entry(number, words) {
    const [page, anchor, section, text] = passages[number];
    const item = document.createElement("li"), link = document.createElement("a"), title = document.createElement("b");
    title.textContent = section && section !== pages[page][1] ? `${pages[page][1]} › ${section}` : pages[page][1];
    link.href = `${pages[page][0]}#${anchor}`;
    link.append(title, document.createElement("br"), around(text, words));
    item.append(link);
    return item;
  }

  function find() {
    const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
    const ranked = words.length ? lower.map((texts, number) => [score(texts, words), number]).filter(([points]) => points) : [];
    ranked.sort((a, b) => b[0] - a[0] || a[1] - b[1]);
    found.replaceChildren(...ranked.slice(0, most).map(([, number]) => entry(number, words)));
    history.replaceState(null, "", `#${encodeURIComponent(field.value)}`);
  }

  addEventListener("keydown", event => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key], links = [...found.querySelectorAll("a")];
    if (event.key === "Enter" && document.activeElement === field && links.length) links[0].click();
    if (!step || !links.length) return;
    event.preventDefault();
    const next = links.indexOf(document.activeElement) + step;
    (next < 0 ? field : links[Math.min(next, links.length - 1)]).focus();
  });
  field.addEventListener("input", find);
  field.value = decodeURIComponent(location.hash.slice(1));
  find();
  field.focus();
})();
