// Runs axe-core on pages in Chromium, light and dark, and prints its findings as JSON.
// node find_barriers.mjs PACKAGES CHROMIUM URL...

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const [packages, executablePath, ...urls] = process.argv.slice(2);
const require = createRequire(`${packages}/`);
const { chromium } = require("playwright-core");
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

const browser = await chromium.launch({ executablePath });
const findings = [];
for (const colorScheme of ["light", "dark"]) {
  const context = await browser.newContext({ colorScheme });
  for (const url of urls) {
    const page = await context.newPage();
    await page.goto(url);
    if (await page.locator("#digits").count()) {
      await page.getByLabel("Digit 4 or 9").click(); // the demo, with an answer
      await page.locator("#answer").waitFor();
    }
    await page.evaluate(axe);
    const { violations, passes } = await page.evaluate(() => window.axe.run());
    findings.push({
      url,
      colorScheme,
      passed: passes.length,
      violations: violations.map(({ id, impact, help, nodes }) => {
        return { id, impact, help, places: nodes.map(({ target }) => target.join(" ")) };
      }),
    });
    await page.close();
  }
  await context.close();
}
await browser.close();
console.log(JSON.stringify(findings));
