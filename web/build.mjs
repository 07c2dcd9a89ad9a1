// Bundle the page's program into the Python package, with a hash of its sources in the first line: a test of
// the Python side holds it against the sources, so that nobody needs npm to see that both belong together.

import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { build } from "esbuild";

const hash = createHash("sha256");
for (const name of readdirSync("report").sort()) hash.update(readFileSync(`report/${name}`));

await build({
  entryPoints: ["report/main.ts"],
  outfile: "../onlygood/deploy/report/assets/report.js",
  bundle: true,
  format: "iife",
  target: "es2021",
  charset: "ascii",
  banner: { js: `// built by \`make page\` from web/report, sha256 ${hash.digest("hex")}` },
});
