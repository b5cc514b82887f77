"""Looks and behaviour of the report: its style sheet and its one script (sorting a table by its headings)."""

CSS = """
:root { color-scheme: light dark; --ink: #1c2330; --soft: #5d6778; --line: #dfe3ea; --ground: #fff; --panel: #f6f7f9;
  --made: #c2410c; --real: #2563eb; --bad: #b91c1c; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ef; --soft: #9aa4b5; --line: #323a47; --ground: #14181f;
  --panel: #1c222b; --made: #fb923c; --real: #7aa7ff; --bad: #f87171; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1120px; padding: 32px 24px 64px; background: var(--ground); color: var(--ink);
  font: 15px/1.5 system-ui, sans-serif; }
h1 { font-size: 26px; margin: 0 0 4px; } h2 { font-size: 19px; margin: 40px 0 8px; } h3 { font-size: 15px; margin: 0; }
p { margin: 4px 0; } .soft { color: var(--soft); } .made { color: var(--made); } .real { color: var(--real); }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: 6px 10px; border-bottom: 1px solid var(--line); text-align: right; vertical-align: middle; }
td:not(:first-child) { white-space: nowrap; }
th:first-child, td:first-child { text-align: left; } thead th { color: var(--soft); font-weight: 600; font-size: 13px; }
td b { font-weight: 650; } td small { color: var(--soft); display: block; font-size: 12px; }
.scroll { overflow-x: auto; } .sortable th { cursor: pointer; white-space: nowrap; user-select: none; }
.sortable th[data-order="1"]::after { content: " \\25B2"; } .sortable th[data-order="-1"]::after { content: " \\25BC"; }
.clip { background: var(--panel); border: 1px solid var(--line); border-radius: 8px; padding: 14px 16px;
  margin: 14px 0; }
.clip header { display: flex; flex-wrap: wrap; gap: 4px 18px; align-items: baseline; }
.values { display: flex; flex-wrap: wrap; gap: 2px 14px; font-size: 13px; color: var(--soft);
  font-variant-numeric: tabular-nums; } .values b { color: var(--ink); }
.sides { display: grid; grid-template-columns: repeat(auto-fit, minmax(320px, 1fr)); gap: 14px; margin-top: 10px; }
figure { margin: 0; } figcaption { font-size: 13px; font-weight: 600; }
.sides img { display: block; width: 100%; height: 150px; border-radius: 4px; background: #000004; }
.figures img { max-width: 100%; } audio { width: 100%; height: 36px; margin-top: 6px; }
.wrong { color: var(--bad); } .wrong s { opacity: .75; } ul { padding-left: 20px; margin: 6px 0; }
"""

SCRIPT = """
for (const table of document.querySelectorAll("table.sortable"))
  for (const [column, head] of table.querySelectorAll("th").entries())
    head.addEventListener("click", () => {
      const order = head.dataset.order === "1" ? -1 : 1;
      for (const other of table.querySelectorAll("th")) delete other.dataset.order;
      head.dataset.order = order;
      const value = row => row.cells[column].dataset.value ?? row.cells[column].textContent;
      const rows = [...table.tBodies[0].rows].sort((a, b) => {
        const [x, y] = [value(a), value(b)];
        if (x === "" || y === "") return (x === "") - (y === "");
        return order * (isNaN(x) || isNaN(y) ? x.localeCompare(y) : x - y);
      });
      table.tBodies[0].append(...rows);
    });
for (const player of document.querySelectorAll("audio"))
  player.addEventListener("play", () => {
    for (const other of document.querySelectorAll("audio")) if (other !== player) other.pause();
  });
"""
