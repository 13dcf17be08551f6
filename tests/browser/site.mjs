// Walks through the site from disk: node site.mjs MODULES FOLDER CHROMIUM [PICTURES]; prints what it has seen as JSON.
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';
import { readdirSync } from 'node:fs';

const [modules, folder, executablePath, pictures] = process.argv.slice(2);
const { chromium } = createRequire(`${modules}/`)('playwright-core');
const args = ['--no-sandbox', '--disable-gpu', '--disable-background-networking', '--no-first-run'];
const browser = await chromium.launch({ executablePath, args });
const page = await browser.newPage({ viewport: { width: 1200, height: 900 } });
const facts = { pages: 0, requests: [], errors: [], latex: [], wide: [], found: [], moved: 0, still: [] };
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
    copy.querySelectorAll('pre, code, script').forEach(node => node.remove());
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

// figures that one can turn: another place of a slider, another drawing
const figures = {
  '13_flow.html': [['.asdvideo-slides', '.moment']],
  '17_cache.html': [['#maskview', '.now']], '18_schedule.html': [['#passplan', 'input']],
  '19_rollout.html': [['.asdvideo-slides', '.moment']], '22_law.html': [['#lawfilm', 'input']],
  '39b_verdict.html': [['#verdict', 'input']], '41_sampling.html': [['.asdvideo-slides', '.which']],
  '45_player.html': [['.asdvideo-film', '.time'], ['.asdvideo-film', '.steps']],
  '68_pictures.html': [['.asdvideo-slides', '.moment']],
};
for (const [name, found] of Object.entries(figures)) {
  await open(name);
  for (const [where, which] of found) {
    const figure = page.locator(where).first();
    await figure.scrollIntoViewIfNeeded();
    if (which === '.time') await figure.locator('button').click();     // it plays by itself; now it rests
    await page.waitForTimeout(200);
    const drawing = () => figure.evaluate(box => {
      const canvas = box.querySelector('canvas');
      return canvas ? canvas.toDataURL() : box.querySelector('svg').innerHTML;
    });
    const before = await drawing();
    await figure.locator(which).first().evaluate(slider => {
      const low = Number(slider.min), count = Number(slider.max) - low + 1;
      slider.value = String(low + (Number(slider.value) - low + Math.ceil(count / 2)) % count);
      slider.dispatchEvent(new Event('input', { bubbles: true }));
    });
    if (await drawing() === before) facts.still.push(`${name} ${where}`);
    else facts.moved += 1;
  }
}

await open('search.html?q=fake+score');
await page.waitForSelector('ul.search li', { timeout: 20000 });
facts.found = await page.$$eval('ul.search li a', links => links.map(link => link.getAttribute('href')));
if (pictures) {
  await page.screenshot({ path: `${pictures}/search.png` });
  for (const name of ['index', '01_one_sitting', '22_law', '39b_verdict', 'questions'])
    for (const [look, scheme, width] of [['light', 'light', 1200], ['dark', 'dark', 1200], ['phone', 'light', 390]]) {
      await page.emulateMedia({ colorScheme: scheme });
      await page.setViewportSize({ width, height: 900 });
      await open(`${name}.html`);
      await page.screenshot({ path: `${pictures}/${name}_${look}.png`, fullPage: name !== 'questions' });
    }
  await page.setViewportSize({ width: 1200, height: 900 });
  await open('api/asdvideo.dmd.html');
  await page.screenshot({ path: `${pictures}/api.png` });
}
console.log(JSON.stringify(facts));
await browser.close();
