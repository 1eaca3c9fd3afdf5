// How a number is made, in names and in values: trees of the page's templates as MathML.

const MATHML = "http://www.w3.org/1998/Math/MathML";
const SUM = 1, PRODUCT = 2, ATOM = 3;  // how strongly the parts of a formula hold together

const math = (tag, ...parts) => {
  const node = document.createElementNS(MATHML, tag);
  node.append(...parts);
  return node;
};
const operator = sign => math("mo", sign);
const number = n => (n < 0n ? math("mrow", operator("−"), math("mn", grouped(-n))) : math("mn", grouped(n)));

class Derivation {
  constructor(network, place) {
    const [template, slots] = DATA.words.rows[place];
    this.network = network;
    this.row = network.rows()[place];
    this.template = DATA.words.templates[template];
    this.slots = slots;
  }

  // The value of a place of the template.
  value(place) {
    const slot = this.slots[place];
    if (slot === -1) return this.network.width;
    if (slot === -2) return this.row.flops;
    if (slot === -3) return this.row.output_bytes;
    return this.network.at(slot);
  }

  // The value of a tree.
  evaluate(tree) {
    if (typeof tree === "number") return BigInt(tree);
    const [head, ...rest] = tree;
    if (typeof head === "number") return rest.length ? this.evaluate(rest[0]) : this.value(head);
    if (head === "+") return sum(rest.map(([sign, part]) => BigInt(sign) * this.evaluate(part)));
    const parts = rest.map(part => this.evaluate(part));
    if (head === "*") return parts.reduce((a, b) => a * b);
    return head === "/" ? floordiv(...parts) : parts[0] ** parts[1];
  }

  // A tree as MathML, and how strongly it holds together.
  written(tree, names) {
    if (typeof tree === "number") return [number(BigInt(tree)), tree < 0 ? SUM : ATOM];
    const [head, ...rest] = tree;
    if (typeof head === "number") {
      return [names ? math("mi", this.template.names[head].replaceAll(" ", "\u00a0")) : number(this.evaluate(tree)), ATOM];
    }
    if (head === "+") return this.sum(rest, names);
    if (head === "*") {
      const parts = rest.map(part => this.held(part, names, PRODUCT));
      return [math("mrow", ...parts.flatMap((part, at) => (at ? [operator("×"), part] : [part]))), PRODUCT];
    }
    if (head === "^") return [math("msup", this.held(rest[0], names, ATOM), this.written(rest[1], names)[0]), PRODUCT];
    const whole = this.evaluate(rest[0]) % this.evaluate(rest[1]) === 0n;
    const fraction = math("mfrac", this.written(rest[0], names)[0], this.written(rest[1], names)[0]);
    return [whole ? fraction : math("mrow", operator("⌊"), fraction, operator("⌋")), ATOM];
  }

  sum(parts, names) {
    if (!parts.length) return [number(0n), ATOM];
    const row = math("mrow");
    parts.forEach(([times, part], at) => {
      if (at || times < 0) row.append(operator(times < 0 ? "−" : "+"));
      const often = Math.abs(times);
      if (often > 1) row.append(number(BigInt(often)), operator("·"));
      row.append(this.held(part, names, PRODUCT));
    });
    return [row, parts.length > 1 || parts[0][0] < 0 ? SUM : PRODUCT];
  }

  held(tree, names, strength) {
    const [node, own] = this.written(tree, names);
    return own >= strength ? node : math("mrow", operator("("), node, operator(")"));
  }

  // What divisions on the way leave over: [dividend, divisor, rest].
  remainders(tree) {
    if (typeof tree === "number") return [];
    const [head, ...rest] = tree;
    const inside = rest.flatMap(part => this.remainders(head === "+" ? part[1] : part));
    if (head !== "/") return inside;
    const [top, below] = rest.map(part => this.evaluate(part));
    return top % below === 0n ? inside : [...inside, [top, below, top % below]];
  }

  // [heading, label, MathML of the whole chain, remark, value, whole] for each step.
  // A tree that gives another number at this size is not the way it is made here: then only the number is shown.
  steps() {
    return this.template.steps.map(([under, label, unit, remark, tree, exact]) => {
      const result = exact === null ? this.evaluate(tree) : this.value(exact);
      const whole = tree === null || this.evaluate(tree) === result;
      return [under, label, this.chain(whole ? tree : null, result, unit), this.remark(remark, tree), result, whole];
    });
  }

  // names = values = result.
  chain(tree, result, unit) {
    const end = math("mrow", number(result), ...(unit ? [math("mtext", `\u00a0${unit}`)] : []));
    const row = math("mrow");
    if (tree !== null) {
      const plain = typeof tree[0] === "number" && tree.length === 1;
      row.append(this.written(tree, true)[0], operator("="));
      if (!plain) row.append(this.written(tree, false)[0], operator("="));
    }
    row.append(end);
    const node = math("math", row);
    node.setAttribute("display", "block");
    return node;
  }

  remark(text, tree) {
    const rest = grouped(this.row.macs - this.row.macs_exact);
    const said = text ? [text.replace("{rest}", rest)] : [];
    for (const [top, below, over] of tree ? this.remainders(tree) : []) {
      said.push(`${grouped(top)} / ${grouped(below)} leaves ${grouped(over)} over: rounded down`);
    }
    return [...new Set(said)].join("; ");
  }
}
