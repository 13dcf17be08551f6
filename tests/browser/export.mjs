// Drives a page that runs a student by itself: node export.mjs MODULES ADDRESS CHROMIUM PICTURE; prints what it has measured.
import { openPage, wait } from './open.mjs';

const [modules, address, chromium, picture] = process.argv.slice(2);
const { browser, page, problems } = await openPage(modules, address, chromium);
const caption = () => page.textContent('#students figcaption span');
const shown = () => page.locator('#students canvas').evaluate(canvas => canvas.toDataURL());

await page.waitForFunction(() => /pass/.test(document.querySelector('#students figcaption span')?.textContent), null, { timeout: 60000 });
await page.fill('#speed', '60');
await page.locator('#speed').blur();
const facts = { first: await shown(), version: browser.version() };
// Frames that are really shown in a second, at one step for each chunk and with the clock set to sixty.
facts.rate = await page.evaluate(async () => {
  const pen = CanvasRenderingContext2D.prototype, put = pen.putImageData, seconds = 3;
  let frames = 0;
  pen.putImageData = function (...words) {
    frames += 1;
    return put.apply(this, words);
  };
  await new Promise(resolve => setTimeout(resolve, 1000 * seconds));
  pen.putImageData = put;
  return frames / seconds;
});
await page.keyboard.press('ArrowLeft');
await wait(2);
facts.later = await shown();
facts.one = await caption();
await page.fill('#steps', '3');
await wait(2);
facts.four = await caption();
await page.screenshot({ path: picture });
// The same pass as in Python: keys, values and clean chunk of given inputs.
facts.pass = await page.evaluate(async () => {
  const ort = await import('./ort.wasm.bundle.min.mjs');
  const session = await ort.InferenceSession.create('student.onnx'), given = await (await fetch('inputs.json')).json();
  const inputs = {};
  for (const [name, { type, dims, data }] of Object.entries(given))
    inputs[name] = new ort.Tensor(type, (type === 'int32' ? Int32Array : Float32Array).from(data), dims);
  const { x0, own } = await session.run(inputs);
  return { x0: Array.from(x0.data), own: Array.from(own.data) };
});
facts.problems = problems;
console.log(JSON.stringify(facts));
await browser.close();
