// The network at one choice of its letters: what the program's slots mean.

const COUNTS = DATA.counts;  // names of the first slots of an answer; then the elements of the output
const WIDTHS = new Map(DATA.dtypes.map(([name, bytes]) => [name, BigInt(bytes)]));
const FIXED = new Map(Object.entries(DATA.bytes).map(([name, bytes]) => [name, BigInt(bytes)]));
const GRANULE = 512n;  // bytes to which the caching allocator rounds every block up

class Network {
  constructor(state) {
    this.state = state;
    this.v = compute(DATA.symbols.map(({ name }) => state.sizes[name]));
    this.width = WIDTHS.get(state.dtype);
    this.refusal = this.refused();
  }

  at(slot) { return this.v[slot]; }
  shape(slots) { return slots.map(slot => this.v[slot]); }

  // The first layer that refuses, with its rule and the values that break it; none at most sizes.
  refused() {
    for (const [node, choices, subject, rule, got] of DATA.refused) {
      if (this.holds(choices)) {
        return { node, subject, rule, got: got.replace(/⟦(\d+)⟧/g, (_, slot) => grouped(this.v[slot])) };
      }
    }
    return null;
  }

  // Are all these comparisons of slots as they are written?
  holds(choices) {
    return choices.every(([relation, left, right, wanted]) =>
      (relation === "less" ? this.v[left] < this.v[right] : this.v[left] !== this.v[right]) === wanted);
  }

  // What was found for sizes such as these; none of it may hold here.
  case(found) {
    return found.find(({ unless, assumed }) => this.holds(assumed) && !unless.some(choices => this.holds(choices)));
  }

  // All that a row shows; the same object for rows with the same answers.
  answers() {
    this.known ??= DATA.answers.map(([output, counts]) => {
      const found = { output: this.shape(output), elements: this.v[counts.at(-1)] };
      COUNTS.forEach((name, place) => { found[name] = this.v[counts[place]]; });
      return found;
    });
    return this.known;
  }

  row(place) {
    const [, , , , answer, dtype] = DATA.rows[place];
    const found = this.answers()[answer];
    const width = dtype === null ? this.width : FIXED.get(dtype);
    return { ...found, flops: this.flops(found), output_bytes: found.elements * width };
  }

  flops(counts) {
    const [, perOp, perMac, perExact] = DATA.conventions[this.state.convention];
    const ops = counts.mul + counts.add + counts.cmp + counts.div + counts.exp;
    return BigInt(perOp) * ops + BigInt(perMac) * counts.macs + BigInt(perExact) * counts.macs_exact;
  }

  rows() {
    this.made ??= DATA.rows.map((_, place) => this.row(place));
    return this.made;
  }

  // Sums over some rows, by their places.
  total(places) {
    const rows = this.rows(), found = { output_bytes: 0n, flops: 0n };
    for (const name of COUNTS) found[name] = 0n;
    for (const place of places) {
      const row = rows[place];
      for (const name in found) found[name] += row[name];
    }
    return found;
  }

  // Bytes of one element of a block: 0 stands for the model's format, -1 for at least float32.
  bytesOf(width) {
    if (width === 0) return this.width;
    return width > 0 ? BigInt(width) : this.width > 4n ? this.width : 4n;
  }

  // Bytes that are taken moment by moment, as PyTorch on CUDA takes them: [phase, row, bytes].
  // None where that goes another way than at the sizes that the page was made for, or is not done in this format.
  memory(training) {
    const found = this.case(DATA.memory);
    if (!found || (training && !DATA.trained.includes(this.state.dtype))) return [];
    const { blocks, inputs, weights, buffers, counters, trained } = found;
    const up = n => roundedUp(n, GRANULE);
    const sizes = blocks.map(([slot, width]) => up(this.v[slot] * this.bytesOf(width)));
    const tensors = slots => sum(slots.map(slot => up(this.v[slot] * this.width)));
    const [state, beside] = training ? DATA.optimizers[this.state.optimizer] : [0, 0];
    let now = tensors(weights) + tensors(buffers) + BigInt(counters) * up(8n) + sum(inputs.map(n => sizes[n]))
      + BigInt(state) * tensors(trained);
    const moments = [], steps = found[training ? "training" : "inference"];
    for (let at = 0; at < steps.length; at += 1) {
      const step = steps[at];
      if (step > 0) now += sizes[step - 1];
      else if (step < 0) now -= sizes[-1 - step];
      else moments.push([steps[++at], steps[++at], now]);
    }
    if (training && this.state.optimizer !== "none") {
      const values = sum(trained.map(slot => this.v[slot])) * this.width;
      moments.push([DATA.phases.indexOf("step"), -1, now + up(BigInt(beside) * values)]);
    }
    return moments;
  }

  // Seconds (floats) that nothing on the device beats: for each row, all rows one after another, and any execution.
  times() {
    const kernels = this.case(DATA.kernels);
    if (!kernels) return null;
    const device = DATA.devices.find(([id]) => id === this.state.device);
    const [, , bandwidth, cache, , rates] = device;
    const [gemm, conv] = rates[DATA.dtypes.findIndex(([name]) => name === this.state.dtype)];
    if (gemm === null || conv === null) return null;
    const { rows, once, formats: [narrow, wide] } = kernels;
    const bytes = ([a, b]) => Number(this.v[a] + (this.v[b] - this.v[a]) * (this.width - BigInt(narrow)) / BigInt(wide - narrow));
    const missed = n => Math.max(n - cache, 0);
    const found = DATA.rows.map(() => ({ bound: 0, macs: 0, bytes: 0 }));
    let arithmetic = 0;
    for (const [place, pace, macs, taps, read, written, needed] of rows) {
      const peak = pace === "conv" ? conv : gemm, row = found[place];
      const computed = 2 * Number(this.v[macs]) / peak / Number(this.v[taps]);
      const moved = bandwidth === null ? 0 : (missed(bytes(read)) + missed(bytes(written))) / bandwidth;
      row.bound += Math.max(computed, moved);
      row.macs += Number(this.v[macs]);
      row.bytes += bytes(read) + bytes(written);
      if (needed) arithmetic += computed;
    }
    const moved = bandwidth === null ? 0 : (missed(bytes(once[0])) + missed(bytes(once[1]))) / bandwidth;
    const bound = Math.max(arithmetic, moved);
    const eager = Math.max(bound, found.reduce((total, row) => total + row.bound, 0));
    return { rows: found, bound, eager, peak: Math.max(gemm, conv), bandwidth, device };
  }

  // What cells of a row see along each axis of the inputs: [input, axis, size, stride, start, whole, n].
  field(place) {
    const found = DATA.fields[place];
    return found && found.map(([input, axis, size, stride, start, whole]) => {
      const n = this.v[DATA.inputs.find(({ name }) => name === input).shape[axis]];
      const number = of => of === null ? null : typeof of === "string" ? of : this.v[of];
      return { input, axis, n, whole, size: number(size), stride: number(stride), start: number(start) };
    });
  }
}
