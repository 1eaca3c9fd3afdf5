// Exact integers as people write them; all numbers here are BigInt unless said otherwise.

// What the program calls: a quotient rounded down, and the larger of two. By zero only sizes divide that are refused.
const floordiv = (a, b) => (b === 0n ? 0n : a % b !== 0n && (a < 0n) !== (b < 0n) ? a / b - 1n : a / b);
const largest = (a, b) => (a > b ? a : b);

const grouped = n => n.toString().replace(/\B(?=(\d{3})+(?!\d))/g, ",").replace("-", "−");

const prefixed = (n, base, prefixes) => {
  if (n < base) return `${grouped(n)} ${prefixes[0]}`.trimEnd();
  let power = 1n;
  while (n >= base ** (power + 1n) && power + 1n < prefixes.length) power += 1n;
  const unit = base ** power;
  const decimals = Math.max(0, 4 - (n / unit).toString().length);
  const ten = 10n ** BigInt(decimals);
  const digits = (2n * n * ten + unit) / (2n * unit);  // rounded half up, exactly
  const rest = decimals ? `.${(digits % ten).toString().padStart(decimals, "0")}` : "";
  return `${grouped(digits / ten)}${rest} ${prefixes[power]}`;
};

const si = n => prefixed(n, 1000n, ["", "k", "M", "G", "T", "P", "E"]);
const iec = n => prefixed(n, 1024n, ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"]);

// Seconds, a float, with three digits.
const seconds = s => {
  if (!(s > 0)) return "0 s";
  const [unit, by] = [["s", 1], ["ms", 1e3], ["µs", 1e6], ["ns", 1e9]].find(([, by]) => s * by >= 1) || ["ns", 1e9];
  return `${(s * by).toPrecision(3).replace(/e\+?(\d+)/, " × 10^$1")} ${unit}`;
};

const sum = numbers => numbers.reduce((a, b) => a + b, 0n);
const most = numbers => numbers.reduce((a, b) => (b > a ? b : a), 0n);
const shown = shape => shape.map(String).join("×") || "scalar";
const roundedUp = (n, to) => (n + to - 1n) / to * to;
