// Drives the live page: node live.mjs MODULES ADDRESS CHROMIUM PICTURE; prints what it has measured.
import { centre, openPage, wait } from './open.mjs';

const [modules, address, chromium, picture] = process.argv.slice(2);
const { browser, page, problems } = await openPage(modules, address, chromium);
const canvas = '#students canvas';
const caption = () => page.textContent('#students figcaption span');
const facts = {};

// Pixels of the graph in the colours of the students (blue, orange), and how many of the colours are there.
const drawn = () => page.locator('#graph').evaluate(canvas => {
  const data = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data, counts = [0, 0];
  for (let i = 0; i < data.length; i += 4) {
    if (data[i + 3] > 100 && data[i + 2] > data[i] + 60) counts[0] += 1;
    if (data[i + 3] > 100 && data[i] > data[i + 2] + 60) counts[1] += 1;
  }
  return { pixels: counts[0] + counts[1], colours: counts.filter(Boolean).length };
});

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

// a finger: touch events as a telephone sends them
const client = await page.context().newCDPSession(page);
const touch = (type, x) => client.send('Input.dispatchTouchEvent', { type, touchPoints: type === 'touchEnd' ? [] : [{ x, y: box.y + 100 }] });
await touch('touchStart', box.x + 50);
for (const x of [70, 90, 110, 130, 150]) await touch('touchMove', box.x + x);
await touch('touchEnd');
await wait(1);
facts.touched = await centre(page, canvas);
facts.graph = await drawn();
facts.problems = problems;
console.log(JSON.stringify(facts));
await browser.close();
