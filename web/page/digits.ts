// Numbers as Python's format() writes them: halves go to the even digit, where JavaScript's go up.

/** `f"{value:.{digits}f}"` */
export function fixed(value: number, digits: number): string {
  const scaled = value * 10 ** digits;
  const half = Number.isInteger(value * 2 ** (digits + 1)) && Math.abs(scaled % 1) === 0.5; // then all is exact
  return (half ? (2 * Math.round(scaled / 2)) / 10 ** digits : value).toFixed(digits);
}

/** The value with so many significant digits, as in `f"{value:.{digits}g}"`. */
export function significant(value: number, digits: number): number {
  const decimals = digits - 1 - Math.floor(Math.log10(Math.abs(value)));
  return Number(decimals >= 0 && decimals <= 50 ? fixed(value, decimals) : value.toPrecision(digits));
}
