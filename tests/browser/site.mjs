// Walks through the site from disk: node site.mjs MODULES FOLDER CHROMIUM [PICTURES]; prints what it has seen as JSON.
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';
import { readdirSync } from 'node:fs';

const [modules, folder, executablePath, pictures] = process.argv.slice(2);
const { chromium } = createRequire(`${modules}/`)('playwright-core');
const args = ['--no-sandbox', '--disable-gpu', '--disable-background-networking', '--no-first-run'];
const browser = await chromium.launch({ executablePath, args });
const page = await browser.newPage({ viewport: { width: 1200, height: 900 } });
const facts = { pages: 0, requests: [], errors: [], latex: [], wide: [], found: [], moved: 0 };
const home = pathToFileURL(`${folder}/`).href;
let here = '';
page.on('pageerror', error => facts.errors.push(`${here}: ${error}`));
page.on('console', message => message.type() === 'error' && facts.errors.push(`${here}: ${message.text()}`));
page.on('request', request => /^(file|data|blob):/.test(request.url()) || facts.requests.push(`${here}: ${request.url()}`));

async function open(name) {
  here = name;
  await page.goto(home + name, { waitUntil: 'domcontentloaded' });
}

const tools = ['genindex.html', 'search.html', 'py-modindex.html'];
const names = readdirSync(folder).filter(name => name.endsWith('.html') && !tools.includes(name));
for (const name of names) {
  await open(name);
  facts.pages += 1;
  const text = await page.evaluate(() => {
    const copy = document.querySelector('article').cloneNode(true);
    copy.querySelectorAll('pre, code').forEach(node => node.remove());
    return copy.textContent;
  });
  const raw = text.match(/\$[^$\n]{1,60}\$|\\(frac|sigma|mathbb|begin|left|sum|hat)\b/);
  if (raw) facts.latex.push(`${name}: ${raw[0]}`);
  await page.setViewportSize({ width: 390, height: 800 });
  const width = await page.evaluate(() => document.documentElement.scrollWidth);
  if (width > 395) facts.wide.push(`${name}: ${width}`);
  if (pictures && name === names[0]) await page.screenshot({ path: `${pictures}/phone.png` });
  await page.setViewportSize({ width: 1200, height: 900 });
}

// a figure with a slider: another place, another picture
await open('45_player.html');
const film = page.locator('.asdvideo-film').first();
await film.scrollIntoViewIfNeeded();
await film.locator('button').click();        // it plays by itself; now it rests
const drawing = () => film.locator('canvas').evaluate(canvas => canvas.toDataURL());
const before = await drawing();
await film.locator('.time').evaluate(slider => {
  slider.value = String((Number(slider.value) + Math.floor(Number(slider.max) / 2)) % (Number(slider.max) + 1));
  slider.dispatchEvent(new Event('input', { bubbles: true }));
});
facts.moved = Number(await drawing() !== before);
// the other slider: another number of steps, its name and another picture of the same moment
const named = await film.locator('output').textContent(), sameTime = await drawing();
await film.locator('.steps').evaluate(slider => {
  slider.value = slider.max;
  slider.dispatchEvent(new Event('input', { bubbles: true }));
});
facts.steps = [named, await film.locator('output').textContent()];
facts.changed = Number(await drawing() !== sameTime);

await open('search.html?q=fake+score');
await page.waitForSelector('ul.search li', { timeout: 20000 });
facts.found = await page.$$eval('ul.search li a', links => links.map(link => link.getAttribute('href')));
if (pictures) {
  await page.screenshot({ path: `${pictures}/search.png` });
  for (const scheme of ['light', 'dark']) {
    await page.emulateMedia({ colorScheme: scheme });
    await open('13_flow.html');
    await page.screenshot({ path: `${pictures}/${scheme}.png` });
  }
  await open('api/asdvideo.dmd.html');
  await page.screenshot({ path: `${pictures}/api.png` });
}
console.log(JSON.stringify(facts));
await browser.close();
