import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { resolve } from "node:path";
import { gzipSync } from "node:zlib";
import react from "@vitejs/plugin-react";
import { defineConfig, type Plugin } from "vite";

const OUT = resolve(import.meta.dirname, process.env.INTERLOCK_PAGE_OUT ?? "../interlock/api/static");

/** Each script and style sheet once more, compressed: the server need not do it for each browser anew. */
function zipped(): Plugin {
  return {
    name: "zipped",
    apply: "build",
    closeBundle() {
      const folder = resolve(OUT, "assets");
      for (const name of readdirSync(folder)) {
        writeFileSync(resolve(folder, `${name}.gz`), gzipSync(readFileSync(resolve(folder, name)), { level: 9 }));
      }
    },
  };
}

// Where the page is served from is not known at build time (alone at `/`, or below a prefix in Airflow): every address
// in it is relative to the `<base href>` that the server writes into index.html.
export default defineConfig({
  base: "./",
  plugins: [react(), zipped()],
  build: { outDir: OUT, emptyOutDir: true, chunkSizeWarningLimit: 900 },
  server: { proxy: { "/v1": process.env.INTERLOCK_API ?? "http://127.0.0.1:8090" } },
});
