"use strict";
// Without this script the page has everything but sorting, filters and open details in print.

function anchor() {
  const written = location.hash.slice(1);
  try {
    return decodeURIComponent(written);
  } catch {
    return written; // a percent sign that begins no code
  }
}

function reveal() {
  const target = document.getElementById(anchor());
  if (!target) return;
  for (let box = target.closest("details"); box; box = box.parentElement.closest("details")) {
    box.open = true;
  }
  target.scrollIntoView();
}

function key(cell) {
  const text = cell.textContent.trim();
  if (text === "" || text === "–") return null;
  if (text.startsWith("before")) return 0; // step 1
  const number = parseFloat(text.replace(/^(all|step|±)\s+/, "").replace(/,/g, ""));
  return Number.isNaN(number) ? text : number;
}

function compare(a, b, descending) {
  if (a === null || b === null) return (a === null) - (b === null); // a dash comes last
  if (typeof a !== typeof b) return typeof a === "number" ? -1 : 1;
  const order = typeof a === "number" ? a - b : a.localeCompare(b);
  return descending ? -order : order;
}

function sortBy(table, column, button) {
  const header = button.parentElement;
  const descending = header.getAttribute("aria-sort") === "ascending";
  for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
  header.setAttribute("aria-sort", descending ? "descending" : "ascending");
  const rows = [...table.tBodies[0].rows];
  rows.sort((a, b) => compare(key(a.cells[column]), key(b.cells[column]), descending));
  table.tBodies[0].append(...rows);
}

function makeSortable(table) {
  [...table.tHead.rows[0].cells].forEach((header, column) => {
    const button = document.createElement("button");
    button.append(...header.childNodes);
    button.addEventListener("click", () => sortBy(table, column, button));
    header.append(button);
  });
}

function addFilter(table) {
  const box = table.closest(".wide");
  const input = document.createElement("input");
  input.type = "search";
  input.placeholder = "filter rows";
  input.setAttribute("aria-label", `Filter rows of ${box.getAttribute("aria-label")}`);
  input.addEventListener("input", () => {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const row of table.tBodies[0].rows) {
      const text = row.textContent.toLowerCase();
      row.hidden = !words.every((word) => text.includes(word));
    }
  });
  box.before(input);
}

for (const table of document.querySelectorAll("table.data")) {
  makeSortable(table);
  if (table.tBodies[0].rows.length > 7) addFilter(table);
}
addEventListener("hashchange", reveal);
addEventListener("beforeprint", () => {
  for (const input of document.querySelectorAll("input[type=search]")) {
    input.value = "";
    input.dispatchEvent(new Event("input"));
  }
  for (const box of document.querySelectorAll("main details:not(.legend)")) box.open = true;
});
reveal();
