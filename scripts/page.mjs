// Called by scripts/page: browser, address, folder for screenshots, folder for the profile.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { chromium } from "playwright-core";

const [browser, base, folder, profile] = process.argv.slice(2);
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const flags = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync"];
const context = await chromium.launchPersistentContext(profile, { executablePath: browser, args: flags });
const page = await context.newPage();

const messages = [];
const requests = [];
page.on("console", (message) => messages.push(message.text()));
page.on("pageerror", (error) => messages.push(String(error)));
page.on("request", (request) => requests.push(request.url()));

await page.goto(base);
const links = await page.$$eval("a", (anchors) => anchors.map((anchor) => anchor.href));
const wrong = [];
let checks = 0;
const expect = (what, got, expected) => {
  checks += 1;
  if (JSON.stringify(got) !== JSON.stringify(expected)) wrong.push({ what, got, expected });
};
expect("pages", links.length, 102);
// The marks are signs that no screen reader is given; the words below them say the same, in the same colour.
const unsure = (found) => found.incomplete.flatMap((rule) => rule.nodes.map((node) => `${rule.id} ${node.html}`))
  .filter((text) => !text.includes('class="mark" aria-hidden="true"'));
const shown = links.filter((link) => /\/(connection_refused|http_request_error)$/.test(link));

const passes = ["light", "dark"].flatMap((scheme) => [1280, 375, 320].map((width) => [scheme, width, "en"]))
  .concat([["light", 1280, "de"], ["dark", 320, "de"]]);
for (const [scheme, width, language] of passes) {
  await page.emulateMedia({ colorScheme: scheme });
  await page.setViewportSize({ width, height: 800 });
  await page.setExtraHTTPHeaders({ "accept-language": language });
  let violations = 0;
  const visited = width === 375 ? shown : links;
  for (const link of visited) {
    const name = `${link.slice(base.length)}, ${scheme}, ${width}, ${language}`;
    const isTemplate = link.includes("/template/");
    messages.length = requests.length = 0;
    const answer = await page.goto(link);
    expect(`${name}: an error`, answer.status() >= 400, true);
    // What the browser says of the status itself is no complaint about the page.
    expect(`${name}: console`, messages.filter((text) => !text.startsWith("Failed to load resource: the server responded")), []);
    expect(`${name}: fetched`, requests.filter((url) => !url.startsWith("data:")), [link]);
    // The style counts only if the policy let it in.
    const look = await page.evaluate(() => ({
      styled: document.querySelector(".way") && getComputedStyle(document.querySelector(".way")).display,
      sideways: document.documentElement.scrollWidth > innerWidth,
      length: document.querySelector("main").innerText.length,
      language: document.documentElement.lang,
      placeholders: document.documentElement.outerHTML.includes("{{"),
    }));
    const expected = isTemplate ? { styled: null, language: "en", least: 30 }
      : { styled: "flex", language: link.includes("/branded/") ? "en" : language, least: 200 };
    expect(`${name}: look`, { ...look, length: look.length > expected.least },
      { styled: expected.styled, sideways: false, length: true, language: expected.language, placeholders: false });
    await page.evaluate(axe);
    const found = await page.evaluate(() => axe.run({ resultTypes: ["violations", "incomplete"] }));
    violations += found.violations.length;
    expect(`${name}: axe`, found.violations.map((rule) => rule.id), []);
    expect(`${name}: axe could not tell`, unsure(found), []);
    if (width !== 320 && shown.includes(link)) {
      const file = `${link.slice(base.length).replace("/", "-")}-${scheme}-${width}-${language}.png`;
      await page.screenshot({ path: `${folder}/${file}`, fullPage: true });
    }
  }
  console.log(`${scheme}, ${width} px, ${language}: ${visited.length} pages, ${violations} violations`);
}

// The alarm must be able to ring: a style that the policy does not name, and text that does not stand out. A template has no policy of ours.
await page.goto(links.find((link) => !link.includes("/template/")));
messages.length = 0;
await page.evaluate(() => {
  const style = document.createElement("style");
  style.textContent = "p { color: red }";
  document.head.append(style);
});
expect("a foreign style is reported", messages.some((text) => text.includes("Content Security Policy")), true);
await page.evaluate(() => { document.querySelector("main > p").style.setProperty("color", "#777"); });
await page.evaluate(axe);
const faint = await page.evaluate(() => axe.run().then((found) => found.violations.map((rule) => rule.id)));
expect("faint text is reported", faint, ["color-contrast"]);

await context.close();
for (const row of wrong) console.log("WRONG", JSON.stringify(row));
console.log(`${checks - wrong.length} passed, ${wrong.length} failed`);
process.exit(wrong.length ? 1 : 0);
