// Drives the live page: node live.mjs MODULES ADDRESS CHROMIUM PICTURE; prints what it has measured.
import { centre, openPage, wait } from './open.mjs';

const [modules, address, chromium, picture] = process.argv.slice(2);
const { browser, page, problems } = await openPage(modules, address, chromium);
const canvas = '#students canvas';
const caption = () => page.textContent('#students figcaption span');
const facts = {};

async function press(key, name) {
  await page.keyboard.press(key);
  await wait(1);
  facts[name] = await centre(page, canvas);
}

await page.waitForFunction(() => /pass/.test(document.querySelector('#students figcaption span').textContent));
await page.fill('#speed', '30');
await page.locator('#speed').blur();
await press('ArrowLeft', 'left');
await press('ArrowRight', 'right');
await press('ArrowUp', 'up');
await press('ArrowDown', 'down');
facts.one = await caption();
await page.fill('#steps', '3');
await page.locator('#steps').blur();
await wait(1);
facts.four = await caption();
await page.screenshot({ path: picture });
await page.keyboard.press('Space');
await wait(.3);
await press('ArrowUp', 'paused');
await page.keyboard.press('Space');
await press('7', 'resumed');
facts.pressed = await page.textContent('#digits [aria-pressed=true]');
const box = await page.locator(canvas).first().boundingBox();
await page.mouse.move(box.x + 150, box.y + 100);
await page.mouse.down();
await page.mouse.move(box.x + 50, box.y + 100);
await page.mouse.up();
await wait(1);
facts.swiped = await centre(page, canvas);
facts.problems = problems;
console.log(JSON.stringify(facts));
await browser.close();
