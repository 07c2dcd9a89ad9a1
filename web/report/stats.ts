// The arithmetic of calibration.py and metrics.py that a moving threshold needs; tests/deploy/report/test_stats.py holds
// both to the same cases.

/** Where scores stand among those of good images that were held out. */
export class Ranks {
  private readonly scores: number[]; // ascending
  /** What each of them and those above it count; one more than there are scores, the last 0. */
  private readonly beyond: number[];

  constructor({ scores, weights }: { scores: number[]; weights: number[] | null }) {
    const sums = new Array<number>(scores.length + 1).fill(0);
    for (let i = scores.length - 1; i >= 0; i--) sums[i] = sums[i + 1]! + (weights ? weights[i]! : 1);
    this.scores = scores;
    this.beyond = sums.map((sum) => Math.round(sum * 1e9) / 1e9); // six sixths are one
  }

  /** The conformal p-value of a score. */
  pValue(score: number): number {
    return (1 + this.beyond[position(this.scores, score, false)]!) / (1 + this.beyond[0]!);
  }

  /** The rate of false alarms that is promised where scores above the threshold are flagged. */
  promised(threshold: number): number {
    return (1 + this.beyond[position(this.scores, threshold, true)]!) / (1 + this.beyond[0]!);
  }
}

/** How many of the ascending values lie below ``value``, or at most at it. */
function position(values: number[], value: number, orAt: boolean): number {
  let low = 0;
  let high = values.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (values[middle]! < value || (orAt && values[middle] === value)) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** The 95 % interval of a rate (Clopper and Pearson). */
export function interval(hits: number, total: number): [number, number] {
  return [
    hits === 0 ? 0 : betaQuantile(hits, total, 0.025),
    hits === total ? 1 : betaQuantile(hits + 1, total, 0.975),
  ];
}

/** Quantile of Beta(k, n + 1 - k): its distribution function at x is P(Binomial(n, x) >= k). */
function betaQuantile(k: number, n: number, probability: number): number {
  const logFactorial = [0];
  for (let i = 1; i <= n; i++) logFactorial.push(logFactorial[i - 1]! + Math.log(i));
  let low = 0;
  let high = 1;
  for (let step = 0; step < 40; step++) {
    const x = (low + high) / 2;
    let sum = 0;
    for (let j = k; j <= n; j++) {
      const choose = logFactorial[n]! - logFactorial[j]! - logFactorial[n - j]!;
      sum += Math.exp(choose + j * Math.log(x) + (n - j) * Math.log1p(-x));
    }
    if (sum < probability) low = x;
    else high = x;
  }
  return (low + high) / 2;
}

export type Point = { threshold: number; falseRate: number; detected: number; precision: number };

/** What each threshold flags, from the highest score down; scores that are equal are flagged together. */
export function curve(good: number[], bad: number[]): Point[] {
  const all = [...good.map((score) => ({ score, bad: 0 })), ...bad.map((score) => ({ score, bad: 1 }))];
  all.sort((a, b) => b.score - a.score);
  const points: Point[] = [{ threshold: Infinity, falseRate: 0, detected: 0, precision: 1 }];
  let alarms = 0;
  let hits = 0;
  all.forEach((one, i) => {
    hits += one.bad;
    alarms += 1 - one.bad;
    if (i + 1 < all.length && all[i + 1]!.score === one.score) return;
    points.push({
      threshold: one.score,
      falseRate: alarms / good.length,
      detected: hits / bad.length,
      precision: hits / (hits + alarms),
    });
  });
  return points;
}

/** A number for people: as many digits as tell. */
export function short(value: number): string {
  return Math.abs(value) >= 1e5 || (value !== 0 && Math.abs(value) < 1e-3)
    ? value.toExponential(2)
    : String(Number(value.toPrecision(4)));
}

export function percent(share: number): string {
  const value = 100 * share;
  return `${value === 0 || value >= 9.95 ? value.toFixed(0) : value.toPrecision(2)}\u00a0%`;
}
