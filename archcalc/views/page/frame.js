// What a cell sees, drawn over a frame of the image's proportions; and the shapes on the network's drawing.

const SVG = "http://www.w3.org/2000/svg";
const svg = (tag, attributes) => {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, String(value));
  return node;
};
const ROOM = 220;  // of the longer side, in the drawing's own units

// The cell in the middle of the map, its box clipped to the image, and a few words.
const frame = (network, place) => {
  const seen = network.field(place), said = $("field"), picture = $("frame");
  picture.replaceChildren();
  picture.setAttribute("hidden", "");
  if (!seen || !seen.length) { said.textContent = "What its cells see is not known for every size: ask archcalc field."; return; }
  const axes = seen.filter(({ input }) => input === seen[0].input), output = network.rows()[place].output;
  if (axes.every(({ whole }) => whole)) said.textContent = "Every cell sees all of the input.";
  else if (axes.some(({ stride }) => stride === null)) said.textContent = `A cell sees ${axes.map(({ size }) => size ?? "?").join(" × ")} cells of the input; branches differ in their stride.`;
  else {
    const text = axes.map(({ size }) => size).join(" × "), stride = axes.map(({ stride: by }) => by).join(" × ");
    said.textContent = `A cell sees ${text} cells of the input, in steps of ${stride}, the first from ${axes.map(({ start }) => String(start).replace("-", "−")).join(", ")}.`;
  }
  const plane = axes.slice(-2).map((axis, at, all) => {
    const stops = Number(output.at(at - all.length) ?? 1n), n = Number(axis.n);
    if (axis.whole || typeof axis.size !== "bigint" || typeof axis.stride !== "bigint") return { n, from: 0, to: n };
    const cell = axis.stride === 0n ? 0 : Math.floor((stops - 1) / 2);
    const from = Number(axis.start) + cell * Number(axis.stride);
    return { n, from: Math.max(0, from), to: Math.min(n, from + Number(axis.size)) };
  });
  if (!plane.length) return;
  const [rows, columns] = plane.length === 2 ? plane : [{ n: Math.max(1, plane[0].n / 8), from: 0, to: Math.max(1, plane[0].n / 8) }, plane[0]];
  const scale = ROOM / Math.max(rows.n, columns.n, 1), least = 1.5;
  picture.removeAttribute("hidden");
  picture.setAttribute("viewBox", `-2 -2 ${columns.n * scale + 4} ${rows.n * scale + 4}`);
  picture.append(
    svg("rect", { class: "image", width: columns.n * scale, height: rows.n * scale }),
    svg("rect", {
      class: "seen", x: columns.from * scale, y: rows.from * scale,
      width: Math.max(least, (columns.to - columns.from) * scale), height: Math.max(least, (rows.to - rows.from) * scale),
    }),
  );
  picture.querySelector("title")?.remove();
  const title = svg("title", {});
  title.textContent = `the box that the cell in the middle sees, in an image of ${rows.n} × ${columns.n}`;
  picture.prepend(title);
};

// Shapes and costs on the drawing follow the sizes.
const drawing = network => {
  if (!$("drawing")?.closest("details")?.open) return;
  const place = drawing.places ??= new Map(DATA.rows.map(([name], at) => [name, at]));
  const input = drawing.inputs ??= new Map(DATA.inputs.map(({ name, shape }) => [name, shape]));
  const shape = name => (input.has(name) ? network.shape(input.get(name)) : network.rows()[place.get(name)]?.output);
  for (const node of document.querySelectorAll("#drawing text[data-tensor]")) {
    const found = shape(node.dataset.tensor);
    if (found) node.textContent = shown(found);
  }
  for (const node of document.querySelectorAll("#drawing text[data-costs]")) {
    const { costs, times } = node.dataset, block = drawing.blocks ??= paths(TREE);
    const found = block.get(costs);
    if (!found) continue;
    const { params, macs } = network.total(found.places);
    const parts = [[params, "params"], [macs, "MACs"]].filter(([n]) => n > 0n).map(([n, what]) => `${si(n)} ${what}`);
    node.textContent = parts.join(" · ") + (Number(times) > 1 ? " each" : "");
  }
};

const paths = (node, found = new Map()) => {
  found.set(node.path, node);
  node.children.forEach(child => paths(child, found));
  return found;
};
