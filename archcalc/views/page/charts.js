// Charts (uPlot): what each layer costs, memory moment by moment, the roofline. Their numbers are rounded to floats.

const colour = name => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
const HEIGHT = 130;

const axes = (x, y, ticks) => {
  const common = {
    stroke: colour("faint"), grid: { stroke: colour("line"), width: 1 }, ticks: { show: false }, font: "11px system-ui",
  };
  return [
    { ...common, show: Boolean(x), label: x, labelFont: "11px system-ui", labelSize: 16, size: 24, values: ticks },
    { ...common, size: 66, space: 24, values: (_, values) => values.map(value => (value === null ? "" : y(value))) },
  ];
};
// Ticks of an axis: as few digits as they need.
const short = n => {
  if (n === 0) return "0";
  const power = Math.min(6, Math.max(0, Math.floor(Math.log10(Math.abs(n)) / 3 + 1e-9)));
  return `${Number((n / 1000 ** power).toPrecision(3))} ${["", "k", "M", "G", "T", "P", "E"][power]}`.trimEnd();
};
const bytes = n => {
  if (n === 0) return "0";
  const power = Math.min(6, Math.max(0, Math.floor(Math.log2(Math.abs(n)) / 10 + 1e-9)));
  return `${Number((n / 1024 ** power).toPrecision(3))} ${["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"][power]}`;
};
// Ticks for bytes at powers of two.
const binary = (plot, axis, low, high, step) => {
  const by = 2 ** Math.ceil(Math.log2(step)), found = [];
  for (let at = Math.ceil(low / by) * by; at <= high; at += by) found.push(at);
  return found;
};

class Charts {
  constructor(app) {
    this.app = app;
    this.plots = [];
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.build());
    addEventListener("resize", () => this.plots.forEach(({ plot, place }) => plot.setSize({ width: this.room(place), height: HEIGHT })));
  }

  room(place) { return Math.max(160, place.clientWidth); }

  build() {
    this.plots.forEach(({ plot }) => plot.destroy());
    this.plots = [];
    const names = DATA.rows.map(([name]) => name), layers = DATA.rows.map((_, at) => at);
    for (const [id, key, write, unit] of [
      ["chart-params", "params", short, "params"], ["chart-macs", "macs", short, "MACs"], ["chart-bytes", "output_bytes", bytes, ""],
    ]) {
      this.add(id, () => [layers, this.app.network.rows().map(row => Number(row[key]))], {
        scales: { x: { time: false, range: [-0.5, layers.length - 0.5] }, y: { range: (_, low, high) => [0, high || 1] } },
        axes: axes("", write),
        series: [{}, {
          fill: colour("accent"), stroke: colour("accent"), width: 0, points: { show: false },
          paths: uPlot.paths.bars({ size: [0.8, 60, 1] }),
        }],
      }, at => `${names[at]}: ${grouped(this.app.network.rows()[at][key])} ${unit || "B"}`,
      at => this.app.select({ path: names[at] }));
    }
    this.timeline();
    this.roofline();
  }

  timeline() {
    this.add("chart-memory", () => {
      const moments = this.app.moments(), last = moments.slice(-1);  // each lasts one step, the last one too
      return [[...moments, ...last].map((_, at) => at), [...moments, ...last].map(([, , n]) => Number(n))];
    }, {
      scales: { x: { time: false }, y: { range: (_, low, high) => [0, high || 1] } },
      axes: axes("", bytes),
      series: [{}, {
        stroke: colour("accent"), fill: colour("tint"), paths: uPlot.paths.stepped({ align: 1 }), points: { show: false },
      }],
    }, at => {
      const here = Math.min(at, this.app.moments().length - 1);
      return here < 0 ? "" : `${iec(this.app.moments()[here][2])} ${this.app.when(here)}`;
    });
  }

  roofline() {
    let points = [], xs = [];
    this.add("chart-roofline", () => {
      const times = this.app.times;
      if (!times || times.bandwidth === null) return [[], [], []];
      const roof = intensity => Math.min(times.peak, intensity * times.bandwidth), ridge = times.peak / times.bandwidth;
      points = times.rows.map((row, at) => ({ at, x: row.bytes ? 2 * row.macs / row.bytes : 0 })).filter(({ x }) => x > 0);
      xs = [...new Set([...points.map(({ x }) => x), ridge / 100, ridge, ridge * 100])].sort((a, b) => a - b);
      const own = new Set(points.map(({ x }) => x));
      return [xs, xs.map(roof), xs.map(x => (own.has(x) ? roof(x) : null))];
    }, {
      scales: { x: { time: false, distr: 3 }, y: { distr: 3 } },
      axes: axes("FLOP per byte", short, (_, values) => values.map(n => (n === null ? "" : short(n)))),
      series: [{}, { stroke: colour("accent"), points: { show: false } }, {
        stroke: colour("ink"), paths: () => null, points: { show: true, size: 6, fill: colour("page") },
      }],
    }, at => {
      const here = points.filter(({ x }) => x === xs[at]).map(({ at: place }) => DATA.rows[place][0]);
      return `${xs[at].toPrecision(3)} FLOP per byte${here.length ? `: ${here.slice(0, 3).join(", ")}${here.length > 3 ? ", …" : ""}` : ""}`;
    });
  }

  // One chart; under it stands what is under the pointer.
  add(id, data, options, said, chosen) {
    const place = $(id), line = $(`${id}-said`);
    place.replaceChildren();
    const follow = plot => {
      const { idx } = plot.cursor;
      line.textContent = idx === null || idx === undefined ? "" : said(idx);
    };
    const plot = new uPlot({
      width: this.room(place), height: HEIGHT, padding: [8, 8, 4, 0], cursor: { y: false, points: { show: false }, drag: { x: false } },
      legend: { show: false }, hooks: { setCursor: [follow] }, ...options,
    }, data(), place);
    if (id === "chart-bytes" || id === "chart-memory") plot.axes[1].splits = binary;
    if (chosen) plot.over.addEventListener("click", () => plot.cursor.idx !== null && chosen(plot.cursor.idx));
    this.plots.push({ plot, data, place });
  }

  update() {
    this.plots.forEach(({ plot, data, place }) => {
      if (place.closest("details")?.open ?? true) plot.setData(data());
    });
  }
}
