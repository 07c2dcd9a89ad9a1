// Bundle the pages' programs into the Python package, with a hash of their sources in the first line: a test of
// the Python side holds it against the sources, so that nobody needs npm to see that both belong together.

import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { build } from "esbuild";

const DEPLOY = "../onlygood/deploy";

function hash(...folders) {
  const digest = createHash("sha256");
  for (const folder of folders) {
    for (const name of readdirSync(folder).sort()) digest.update(readFileSync(`${folder}/${name}`));
  }
  return digest.digest("hex");
}

function bundle(entry, outfile, sources, more) {
  return build({
    entryPoints: [entry],
    outfile: `${DEPLOY}/${outfile}`,
    bundle: true,
    target: "es2021",
    charset: "ascii",
    banner: { js: `// built by \`make page\` from web/${sources[0]}, sha256 ${hash(...sources)}` },
    ...more,
  });
}

await bundle("report/main.ts", "report/assets/report.js", ["report"], {
  format: "iife",
  globalName: "onlygood",
});

// Of `onlygood page`: pixels.js is a module of its own, which the tests run under Node.
const page = { format: "esm", target: "es2022", minify: true, legalComments: "none" };
const sources = ["page", "report"];
await bundle("page/main.ts", "page/assets/page.js", sources, page);
await bundle("page/offline.ts", "page/assets/offline.js", sources, { ...page, minify: false, format: "iife" });
await bundle("page/pixels.ts", "page/assets/pixels.js", sources, page);
await bundle("page/worker.ts", "page/assets/worker.js", sources, { ...page, external: ["./pixels.js"] });
