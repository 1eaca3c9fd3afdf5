// The page: controls, the state that they make, and everything that follows from it.

const PHASES = ["while {} runs", "while {} runs again", "in the backward pass of {}", "in the optimizer's step"];
const LARGEST = 10n ** 12n;  // of a letter: far beyond any size, and no sum leaves what a page can show
const $ = id => document.getElementById(id);

class App {
  constructor() {
    this.state = this.initial();
    this.selected = null;
    this.read();
    this.controls();
    this.table = new Table($("lines"), $("head"), this);
    this.charts = new Charts(this);
    this.table.open = new Set(this.opened ?? []);
    $("search").addEventListener("input", event => { this.table.query = event.target.value; this.table.build(); });
    $("open").addEventListener("click", () => this.table.all(true));
    $("close").addEventListener("click", () => this.table.all(false));
    document.querySelectorAll("details").forEach(part => part.addEventListener("toggle", () => { this.charts.update(); drawing(this.network); }));
    document.querySelector("form").addEventListener("submit", event => event.preventDefault());
    addEventListener("hashchange", () => {
      this.read();
      this.table.open = new Set(this.opened ?? this.table.open);
      this.show();
      this.refresh();
      this.table.build();
    });
    this.settle(new Network(this.initial()));  // what is pale behind a link to a size that is refused
    this.refresh();
    this.table.build();
    this.charts.build();
  }

  initial() {
    const sizes = Object.fromEntries(DATA.symbols.map(({ name, value }) => [name, BigInt(value)]));
    return { sizes, dtype: DATA.dtype, convention: "archcalc", device: DATA.device, optimizer: "adam", training: false,
      square: DATA.square && sizes.H === sizes.W };
  }

  // The state from the fragment: what is not understood is left as it is.
  read() {
    this.state = this.initial();
    const given = new URLSearchParams(location.hash.slice(1));
    for (const { name } of DATA.symbols) {
      const text = given.get(name);
      if (text !== null && /^\d{1,13}$/.test(text) && BigInt(text) >= 1n && BigInt(text) <= LARGEST) this.state.sizes[name] = BigInt(text);
    }
    for (const { id, values } of this.choices()) if (values.includes(given.get(id))) this.state[id] = given.get(id);
    this.state.training = given.get("training") === "1";
    if (DATA.square && this.state.sizes.H !== this.state.sizes.W) this.state.square = false;
    const known = new Set(DATA.rows.map(([name]) => name));
    this.selected = known.has(given.get("layer")) ? given.get("layer") : null;
    this.opened = given.has("open") ? given.get("open").split("|") : null;
  }

  // The fragment of the state: only what differs from the page as it came.
  remember() {
    const first = this.initial(), kept = new URLSearchParams();
    for (const { name } of DATA.symbols) if (this.state.sizes[name] !== first.sizes[name]) kept.set(name, this.state.sizes[name]);
    for (const { id } of this.choices()) if (this.state[id] !== first[id]) kept.set(id, this.state[id]);
    if (this.state.training) kept.set("training", "1");
    if (this.selected) kept.set("layer", this.selected);
    if (this.table.open.size && this.table.open.size < 50) kept.set("open", [...this.table.open].join("|"));
    const text = kept.toString();
    history.replaceState(null, "", text ? `#${text}` : location.pathname + location.search);
  }

  choices() {
    return [
      { id: "dtype", values: DATA.dtypes.map(([name]) => name) }, { id: "convention", values: Object.keys(DATA.conventions) },
      { id: "device", values: DATA.devices.map(([id]) => id) }, { id: "optimizer", values: Object.keys(DATA.optimizers) },
    ];
  }

  controls() {
    for (const { name } of DATA.symbols) {
      const slider = $(`slide-${name}`), field = $(`size-${name}`);
      slider.addEventListener("input", () => this.set(name, BigInt(slider.value)));
      field.addEventListener("change", () => { this.show(); this.refresh(); });
      field.addEventListener("input", () => {
        const text = field.value.replace(/[\s,]/g, ""), whole = /^\d{1,13}$/.test(text) ? BigInt(text) : 0n;
        const legal = whole >= 1n && whole <= LARGEST;
        field.setAttribute("aria-invalid", String(!legal));
        if (legal) this.set(name, whole, field);
        else this.say("refusal", `${field.labels[0].textContent}: a whole number from 1 to 10¹², please`);
      });
    }
    for (const { id } of this.choices()) $(id).addEventListener("change", event => { this.state[id] = event.target.value; this.refresh(); this.remember(); });
    $("training").addEventListener("change", event => { this.state.training = event.target.checked; this.refresh(); this.remember(); });
    $("square")?.addEventListener("change", event => {
      this.state.square = event.target.checked;
      if (this.state.square) this.set("W", this.state.sizes.H);
    });
    $("reset").addEventListener("click", () => { location.hash = ""; this.state = this.initial(); this.selected = null; this.show(); this.refresh(); this.remember(); });
    this.show();
  }

  set(name, size, typed = null) {
    this.state.sizes[name] = size;
    const other = { H: "W", W: "H" }[name];
    if (this.state.square && other) this.state.sizes[other] = size;
    this.show(typed);
    this.refresh();
    clearTimeout(this.later);
    this.later = setTimeout(() => this.remember(), 200);  // browsers limit how often an address may change
  }

  // Controls as the state has them; a field that is being typed into stays as it is.
  show(typed = null) {
    for (const { name } of DATA.symbols) {
      const slider = $(`slide-${name}`), field = $(`size-${name}`), size = this.state.sizes[name];
      slider.dataset.most ??= slider.max;
      slider.max = size > BigInt(slider.dataset.most) ? String(size) : slider.dataset.most;
      slider.value = String(size);
      if (field !== typed) { field.value = String(size); field.removeAttribute("aria-invalid"); }
    }
    for (const { id } of this.choices()) $(id).value = this.state[id];
    $("training").checked = this.state.training;
    if ($("square")) $("square").checked = this.state.square;
  }

  // The network at other sizes, the page staying as it is.
  at(sizes, choices = {}) { return new Network({ ...this.state, ...choices, sizes: { ...this.state.sizes, ...sizes } }); }

  get symbols() { return DATA.symbols; }

  // [heading, label, MathML, remark, value, is the way shown that the number is made?] for each number of a layer.
  derivation(place) { return DATA.words.rows[place] ? new Derivation(this.network, place).steps() : []; }

  say(id, text) { if ($(id).textContent !== text) $(id).textContent = text; }

  refresh() {
    const network = new Network(this.state), refusal = network.refusal;
    document.body.classList.toggle("refused", Boolean(refusal));
    $("refusal").replaceChildren(...(refusal ? this.refusal(refusal) : []));
    if (!refusal) this.settle(network);  // else what was right last stays, marked as such
  }

  // Everything on the page, for a network that all layers take.
  settle(network) {
    this.network = network;
    this.times = network.times();
    this.kept = null;
    this.totals();
    if (this.table.order) this.table.build();
    else this.table.update();
    this.charts.update();
    this.details();
    drawing(network);
  }

  refusal({ node, subject, rule, got }) {
    const parts = [el("strong", {}, `${subject}: ${rule}`), got ? `; got ${got}` : ""];
    if (node) parts.push(" — layer ", named(node), "; below stands the last size that all layers took");
    const fits = this.nextFit(), moved = Object.keys(fits).filter(name => fits[name] !== this.state.sizes[name]);
    const said = moved.map(name => `${name} = ${grouped(fits[name])}`).join(", ");
    const use = () => { this.state.sizes = fits; this.show(); this.refresh(); this.remember(); };
    return [...parts, ". ", el("button", { type: "button", onclick: use }, `use ${said}`)];
  }

  // The nearest sizes that every layer takes: of one letter, of all axes together, or else those of the model itself.
  nextFit() {
    const axes = DATA.symbols.filter(({ of }) => of === "axis").map(({ name }) => name);
    const alone = DATA.symbols.filter(({ of }) => of !== "batch").map(({ name }) => (this.state.square && axes.includes(name) ? axes : [name]));
    for (const names of [...alone, axes]) {
      for (let step = 1n; step <= 300n; step += 1n) {
        for (const by of [step, -step]) {
          const sizes = { ...this.state.sizes };
          for (const name of names) sizes[name] = sizes[name] + by < 1n ? 1n : sizes[name] + by;
          if (!new Network({ ...this.state, sizes }).refusal) return sizes;
        }
      }
    }
    return { ...this.initial().sizes };
  }

  moments() { return this.kept ??= this.network.memory(this.state.training); }

  when(at) {
    const [phase, place] = this.moments()[at] ?? [0, -1];
    return PHASES[phase].replace("{}", place < 0 ? "nothing" : DATA.rows[place][0]);
  }

  totals() {
    const { network } = this, all = network.total(DATA.rows.map((_, at) => at)), mark = DATA.partial ? "≥ " : "";
    const count = n => mark + grouped(n) + (n >= 10n ** 6n ? ` = ${si(n)}` : "");
    const held = n => `${mark}${grouped(n)} B` + (n >= 1024n ? ` = ${iec(n)}` : "");
    const moments = this.moments(), peak = most(moments.map(([, , n]) => n));
    const place = moments.findIndex(([, , n]) => n === peak);
    const texts = {
      "total-params": count(all.params),
      "total-macs": count(all.macs),
      "total-exact": count(all.macs_exact),
      "total-flops": count(all.flops),
      "convention-said": DATA.conventions[this.state.convention][0],
      "total-weights": held(all.params * network.width),
      "total-outputs": held(all.output_bytes),
      "total-peak": place < 0 ? "not known here" : `${this.state.training && network.case(DATA.memory).unsaid ? "≥ " : ""}${held(peak)}`,
      "total-when": place < 0 ? this.unknown() : this.when(place),
      "foot-params": mark + grouped(all.params), "foot-macs": mark + grouped(all.macs),
      "foot-flops": mark + grouped(all.flops), "foot-bytes": mark + grouped(all.output_bytes),
      "total-bound": this.times ? `${seconds(this.times.bound)}, eager ${seconds(this.times.eager)}` : this.untimed(),
      "input-shapes": DATA.inputs.map(({ name, shape }) => `${name} ${shown(network.shape(shape))}`).join(", "),
      "chosen-all": this.chosen(),
    };
    for (const [id, text] of Object.entries(texts)) this.say(id, text);
  }

  // Why there is no peak, or no bound.
  unknown() {
    if (this.state.training && !DATA.trained.includes(this.state.dtype)) return `nothing trains in ${this.state.dtype}`;
    return "it goes another way at this size: ask archcalc memory";
  }

  untimed() {
    return this.network.case(DATA.kernels) ? `no rate for ${this.state.dtype} is stated` : "not known at this size: ask archcalc time";
  }

  // The choices in words, which a print shows in the place of the controls.
  chosen() {
    const { dtype, device, optimizer, training } = this.state;
    const settings = DATA.symbols.filter(({ of }) => of === "setting").map(({ name }) => `${name} ${this.state.sizes[name]}`);
    return [...settings, dtype, device, training ? `a step of training with ${optimizer}` : "inference"].join(", ");
  }

  select(node) {
    if (node.children?.length) { this.table.toggle(node); return; }
    this.selected = this.selected === node.path ? null : node.path;
    this.table.update();
    this.details();
    this.remember();
    if (this.selected && innerWidth < 900) $("details").scrollIntoView({ block: "nearest" });
  }

  // The layer that is chosen: how each of its numbers is made, and what its cells see.
  details() {
    const place = DATA.rows.findIndex(([name]) => name === this.selected), panel = $("details");
    $("hint").hidden = place >= 0;
    $("chosen").hidden = place < 0;
    if (place < 0) return;
    const [name, kind, fields, inputs, , , , owner] = DATA.rows[place], row = this.network.rows()[place];
    $("chosen-name").replaceChildren(named(name));
    $("chosen-kind").replaceChildren(named(kind), fields ? `: ${fields}` : "");
    const reads = inputs.map((source, at) => el("span", {}, at ? ", " : "", named(source)));
    $("chosen-shapes").replaceChildren("reads ", ...reads, `, gives ${shown(row.output)}`,
      ...(owner === null ? [] : ["; its weights are those of ", named(owner), ", counted there"]));
    const steps = $("steps");
    steps.replaceChildren();
    if (DATA.words.rows[place] === null) steps.append(el("p", {}, "Its operations are not known: nothing of it is counted."));
    else {
      let above = "";
      for (const [under, label, formula, remark] of new Derivation(this.network, place).steps()) {
        if (under && under !== above) steps.append(el("dt", { class: "under" }, under));
        above = under;
        steps.append(el("dt", under ? { class: "inner" } : {}, label), el("dd", {}, formula, ...(remark ? [el("small", {}, remark)] : [])));
      }
    }
    frame(this.network, place);
    panel.dataset.layer = name;
  }
}

// For the console, and for those who script a page: archcalc.at({ H: 512n }).total(…), .rows(), .memory(true).
window.archcalc = new App();
