// Serves an empty page, a module `/script.js` and files, and opens the page in a headless Chromium.

import { createReadStream, existsSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { delimiter, join } from "node:path";
import { chromium, type Page } from "playwright-core";

const NAMES = ["chromium", "chromium-browser", "google-chrome"];
const MISSING_BROWSER = 3;

/** Returns the path of an installed browser. Ends the program with 3 if there is none. */
function findBrowser(): string {
  for (const folder of (process.env["PATH"] ?? "").split(delimiter)) {
    for (const name of NAMES) {
      if (existsSync(join(folder, name))) {
        return join(folder, name);
      }
    }
  }
  console.error(`no browser on PATH (${NAMES.join(", ")}); install chromium, for example: apt-get install chromium`);
  process.exit(MISSING_BROWSER);
}

/**
 * Opens the page, passes it to `use` and closes it. In the page, `import("/script.js")` runs the script to its end.
 *
 * `files` are paths by their URL, `/upload/0`. `resolve` are Chromium's rules for host names, such as
 * `MAP localhost:8080 127.0.0.1:9901`.
 */
export async function withPage<T>(
  script: string,
  files: Map<string, string>,
  use: (page: Page) => Promise<T>,
  resolve?: string,
): Promise<T> {
  const executablePath = findBrowser();
  const server = createServer((request, response) => {
    const path = files.get(request.url ?? "");
    if (path !== undefined) {
      createReadStream(path)
        .on("error", () => response.writeHead(404).end())
        .pipe(response);
    } else if (request.url === "/") {
      response.setHeader("content-type", "text/html; charset=utf-8");
      response.end('<!doctype html><link rel="icon" href="data:,"><body>');
    } else if (request.url === "/script.js") {
      response.setHeader("content-type", "text/javascript; charset=utf-8");
      response.end(script);
    } else {
      response.writeHead(404).end();
    }
  });
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  const browser = await chromium.launch({
    executablePath,
    chromiumSandbox: false, // the sandbox needs privileges that containers lack; the page is our own
    args: resolve ? [`--host-resolver-rules=${resolve}`] : [],
  });
  try {
    const page = await browser.newPage();
    await page.goto(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
    return await use(page);
  } finally {
    await browser.close();
    server.close();
  }
}
