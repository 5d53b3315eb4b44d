// Uses the demo as a person does, in Chromium, and prints what happened as JSON.
// node run_demo.mjs PACKAGES CHROMIUM URL [SCREENSHOTS]

import { createRequire } from "node:module";

const [packages, executablePath, url, screenshots] = process.argv.slice(2);
const { chromium } = createRequire(`${packages}/`)("playwright-core");
const WIDE = { width: 1200, height: 800 };
const PHONE = { width: 360, height: 740 };

const browser = await chromium.launch({ executablePath });
const report = { requests: [], errors: [] };

async function opened(options) {
  const context = await browser.newContext(options);
  const page = await context.newPage();
  page.on("request", (request) => report.requests.push(request.url()));
  page.on("pageerror", (error) => report.errors.push(String(error)));
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) report.errors.push(message.text());
  });
  await page.goto(url);
  await page.waitForSelector("body[data-state]");
  return { context, page };
}

/** Wait for an answer that an action leads to, and return it with what the page says. */
async function answerTo(page, action) {
  await page.evaluate(async () => {
    window.before = (await import("./demo.js")).answer;
  });
  await action();
  return page.evaluate(async () => {
    const demo = await import("./demo.js");
    while (!demo.answer || demo.answer === window.before) {
      if (document.body.dataset.state === "failed") throw new Error(document.body.innerText);
      await new Promise(requestAnimationFrame);
    }
    const { answer } = demo;
    return {
      pixels: [...answer.pixels],
      seed: answer.seed,
      onePass: [...answer.onePass.probabilities],
      mean: [...answer.samples.mean],
      samples: answer.samples.each.map((sample) => [...sample]),
      ms: [answer.onePass.ms, answer.samples.ms],
      said: document.getElementById("status").textContent,
      disagreement: document.getElementById("disagreement").textContent,
      latency: document.getElementById("latency").textContent,
      rows: document.querySelectorAll("#rows tr").length,
      votes: [...document.querySelectorAll("#votes li")].map((item) => item.textContent),
      overflow: document.scrollingElement.scrollWidth - window.innerWidth,
    };
  });
}

/** Return places on the pad of a seven: right, then down. */
async function seven(page) {
  const box = await page.locator("#pad").boundingBox();
  const place = (x, y) => ({ x: box.x + x * box.width, y: box.y + y * box.height });
  const right = [0.25, 0.4, 0.55, 0.7].map((x) => place(x, 0.2));
  return [...right, place(0.6, 0.45), place(0.5, 0.65), place(0.45, 0.88)];
}

async function drawByMouse(page) {
  const [first, ...rest] = await seven(page);
  await page.mouse.move(first.x, first.y);
  await page.mouse.down();
  for (const { x, y } of rest) await page.mouse.move(x, y, { steps: 4 });
  await page.mouse.up();
}

async function drawByFinger(page, context) {
  const session = await context.newCDPSession(page);
  const touch = (type, touchPoints) => session.send("Input.dispatchTouchEvent", { type, touchPoints });
  const [first, ...rest] = await seven(page);
  await touch("touchStart", [first]);
  for (const place of rest) await touch("touchMove", [place]);
  await touch("touchEnd", []);
}

/** Choose a digit with the keyboard alone: Tab until its button has the focus, then Enter. */
async function chooseByKeyboard(page, label) {
  const focused = () => page.evaluate(() => document.activeElement.ariaLabel);
  for (let k = 0; k < 40 && (await focused()) !== label; k++) await page.keyboard.press("Tab");
  await page.keyboard.press("Enter");
}

const { context, page } = await opened({ viewport: WIDE });
report.samples = {};
for (const button of await page.locator("#digits button").all()) {
  const label = await button.getAttribute("aria-label");
  report.samples[label] = await answerTo(page, () => button.click());
}
await context.setOffline(true);
report.mouse = await answerTo(page, async () => {
  await page.locator("#clear").click();
  await page.waitForFunction(() => document.getElementById("answer").hidden);
  await drawByMouse(page);
});
report.other = await answerTo(page, () => page.locator("#again").click());
report.keyboard = await answerTo(page, () => chooseByKeyboard(page, "Digit 3"));
await context.close();

for (const colorScheme of ["light", "dark"]) {
  for (const [name, options] of [
    ["wide", { viewport: WIDE }],
    ["phone", { viewport: PHONE, hasTouch: true, isMobile: true, deviceScaleFactor: 2 }],
  ]) {
    if (!screenshots && (name === "wide" || colorScheme === "dark")) continue;
    const { context, page } = await opened({ ...options, colorScheme });
    const draw = name === "phone" ? () => drawByFinger(page, context) : () => drawByMouse(page);
    report[name] = await answerTo(page, draw);
    if (screenshots) {
      await page.getByLabel("Digit 4 or 9").click();
      await page.waitForTimeout(300);
      await page.screenshot({ path: `${screenshots}/${name}-${colorScheme}.png`, fullPage: true });
    }
    await context.close();
  }
}
await browser.close();
console.log(JSON.stringify(report));
