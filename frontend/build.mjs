// Bundles the panel into warp_magics/static/; with --compare says whether that is what is there, with --tests bundles
// each test into .tests/ for node to run.
import { build } from "esbuild";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const KEPT = "../warp_magics/static";
const FILES = ["panel.js", "panel.css", "licenses.txt"];
const common = {
  bundle: true,
  format: "esm",
  target: "es2022",
  logLevel: "warning",
  jsx: "automatic",
  jsxImportSource: "preact",
};

async function bundle(outdir) {
  const made = { ...common, outdir, minify: true };
  await build({ ...made, entryPoints: { panel: "src/index.tsx" }, legalComments: "none" });
  await build({ ...made, entryPoints: { panel: "src/panel.css" } });
  writeFileSync(join(outdir, "licenses.txt"), licenses());
}

/** The licences of what is bundled, as its makers want them to go along. */
function licenses() {
  const { dependencies } = JSON.parse(readFileSync("package.json", "utf8"));
  return Object.entries(dependencies)
    .map(([name, version]) => {
      const folder = join("node_modules", name);
      const file = readdirSync(folder).find((one) => /^licen[cs]e/i.test(one));
      return `${name} ${version}\n\n${readFileSync(join(folder, file), "utf8").trim()}\n`;
    })
    .join(`\n${"-".repeat(80)}\n\n`);
}

async function tests() {
  rmSync(".tests", { recursive: true, force: true });
  const names = readdirSync("tests").filter((name) => /\.test\.tsx?$/.test(name));
  const entryPoints = names.map((name) => `tests/${name}`);
  await build({ ...common, entryPoints, outdir: ".tests", platform: "node", external: ["jsdom"] });
}

async function compare() {
  const fresh = mkdtempSync(join(tmpdir(), "panel-"));
  await bundle(fresh);
  const others = FILES.filter((name) => !readFileSync(join(fresh, name)).equals(readFileSync(join(KEPT, name))));
  rmSync(fresh, { recursive: true });
  if (!others.length) return;
  console.error(`warp_magics/static is not built from these sources (${others.join(", ")}): run \`make panel\`.`);
  process.exit(1);
}

if (process.argv.includes("--tests")) await tests();
else if (process.argv.includes("--compare")) await compare();
else await bundle(KEPT);
