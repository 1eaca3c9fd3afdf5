// The table of layers: blocks that fold, search, order by a column.

const el = (tag, attributes = {}, ...children) => {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value === true) node.setAttribute(name, "");
    else if (value !== false && value !== null) node.setAttribute(name, value);
  }
  node.append(...children);
  return node;
};

// A name from a file: shown as it is, in its own direction, whatever letters it has.
const named = text => el("bdi", {}, text);

const COLUMNS = [
  { key: "params", title: "params", write: grouped },
  { key: "macs", title: "MACs", write: grouped },
  { key: "flops", title: "FLOPs", write: grouped },
  { key: "output_bytes", title: "output bytes", write: grouped },
];

// Blocks and layers as a tree: {path, label, depth, places, children, place}.
const tree = () => {
  const root = { path: "", label: "", depth: 0, places: [], children: [], place: null };
  const blocks = new Map([["", root]]);
  const block = path => {
    if (!blocks.has(path)) {
      const cut = path.lastIndexOf("/"), above = block(cut < 0 ? "" : path.slice(0, cut));
      const node = { path, label: path.slice(cut + 1), depth: above.depth + 1, places: [], children: [], place: null };
      above.children.push(node);
      blocks.set(path, node);
    }
    return blocks.get(path);
  };
  DATA.rows.forEach(([name], place) => {
    const node = block(name);
    node.place = place;
    for (let path = name; ; path = path.slice(0, path.lastIndexOf("/"))) {
      blocks.get(path).places.push(place);
      if (!path.includes("/")) break;
    }
    root.places.push(place);
  });
  return root;
};

const TREE = tree();
const STEP = 300;  // rows at once: browsers lay out no more of them between two movements of a slider

class Table {
  constructor(body, head, app) {
    this.body = body;
    this.app = app;
    this.open = new Set();
    this.query = "";
    this.order = null;  // [column, ascending]
    this.drawn = [];
    this.most = STEP;
    this.heads = COLUMNS.map(({ key, title }) => {
      const button = el("button", { type: "button", onclick: () => this.sort(key) }, title);
      const cell = el("th", { scope: "col", class: "number" }, button);
      head.append(cell);
      return cell;
    });
  }

  sort(key) {
    const [column, ascending] = this.order ?? [null, true];
    this.order = column !== key ? [key, false] : ascending ? null : [key, true];
    COLUMNS.forEach((one, at) => {
      const on = this.order?.[0] === one.key;
      this.heads[at].setAttribute("aria-sort", on ? (this.order[1] ? "ascending" : "descending") : "none");
    });
    this.build();
  }

  // Which nodes of the tree are shown: single layers where they are searched or ordered, else blocks as far as open.
  nodes() {
    const found = [];
    const leaves = node => {
      if (node.place !== null && node.label !== "") found.push(node);
      node.children.forEach(leaves);
    };
    const walk = node => node.children.forEach(child => {
      found.push(child);
      if (this.open.has(child.path)) walk(child);
    });
    if (this.query || this.order) {
      leaves(TREE);
      const words = this.query.toLowerCase().split(/\s+/).filter(Boolean);
      const text = ({ place }) => `${DATA.rows[place][0]} ${DATA.rows[place][1]}`.toLowerCase();
      const kept = found.filter(node => words.every(word => text(node).includes(word)));
      if (!this.order) return kept;
      const [key, ascending] = this.order, rows = this.app.network.rows();
      const by = (a, b) => (rows[a.place][key] < rows[b.place][key] ? -1 : rows[a.place][key] > rows[b.place][key] ? 1 : 0);
      return kept.sort((a, b) => (ascending ? by(a, b) : by(b, a)));
    }
    walk(TREE);
    return found;
  }

  build() {
    const nodes = this.nodes(), shownNodes = nodes.slice(0, this.most);
    const flat = Boolean(this.query || this.order);
    this.drawn = shownNodes.map(node => this.line(node, flat));
    this.body.replaceChildren(...this.drawn.map(({ line }) => line));
    const left = nodes.length - shownNodes.length;
    const more = el("button", { type: "button", onclick: () => { this.most += STEP; this.build(); } }, `${Math.min(left, STEP)} more`);
    $("rows").replaceChildren(...(left ? [`${grouped(BigInt(left))} rows are not shown. `, more] : nodes.length ? [] : ["No layer is called so."]));
    this.update();
  }

  line(node, flat) {
    const block = node.children.length > 0 && !flat, opened = this.open.has(node.path);
    const label = flat ? node.path : node.label;
    const name = el("button", { type: "button", class: "name", onclick: () => this.app.select(node) }, named(label));
    const first = el("th", { scope: "row", class: `depth${Math.min(flat ? 1 : node.depth, 6)}` });
    if (block) {
      const what = `${opened ? "close" : "open"} ${node.path}`;
      first.append(el("button", {
        type: "button", class: "fold", "aria-expanded": String(opened), "aria-label": what,
        onclick: () => this.toggle(node),
      }, opened ? "▾" : "▸"));
    }
    first.append(name);
    const kind = node.children.length ? `${DATA.blocks[node.path] ?? "block"}, ${node.places.length}` : DATA.rows[node.place][1];
    const shape = el("td", { class: "shape" }), cells = COLUMNS.map(() => el("td", { class: "number" }));
    const line = el("tr", { "aria-selected": null }, first, el("td", {}, named(kind)), shape, ...cells);
    return { node, line, shape, cells, texts: [] };
  }

  toggle(node) {
    if (!this.open.delete(node.path)) this.open.add(node.path);
    this.build();
    this.body.querySelector(`[aria-label="${CSS.escape(`${this.open.has(node.path) ? "close" : "open"} ${node.path}`)}"]`)?.focus();
    this.app.remember();
  }

  all(opened) {
    this.open.clear();
    const walk = node => node.children.forEach(child => {
      if (child.children.length) this.open.add(child.path);
      walk(child);
    });
    if (opened) walk(TREE);
    this.build();
    this.app.remember();
  }

  // Numbers of the rows that are shown; a cell that stays the same is not touched.
  update() {
    const { network, selected } = this.app, rows = network.rows();
    for (const drawn of this.drawn) {
      const { node, line, shape, cells, texts } = drawn;
      const alone = node.place !== null && !node.children.length;
      const counted = alone ? rows[node.place] : network.total(node.places);
      const write = (cell, at, text) => {
        if (texts[at] !== text) cell.textContent = texts[at] = text;
      };
      write(shape, COLUMNS.length, shown(rows[node.places.at(-1)].output));
      const partial = DATA.partial && node.places.some(place => DATA.rows[place][6]);
      COLUMNS.forEach(({ key, write: text }, at) => write(cells[at], at, (partial ? "≥ " : "") + text(counted[key])));
      line.classList.toggle("selected", selected === node.path);
      if (alone) line.querySelector(".name").setAttribute("aria-pressed", String(selected === node.path));
    }
  }
}
