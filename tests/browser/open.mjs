// A page in the system's Chromium, for the tests: open.mjs is given the folder of node_modules and an address.
import { createRequire } from 'node:module';

const FLAGS = ['--no-sandbox', '--disable-gpu', '--disable-background-networking', '--disable-component-update',
  '--disable-default-apps', '--disable-sync', '--no-first-run'];

export async function openPage(modules, address, executablePath) {
  const { chromium } = createRequire(`${modules}/`)('playwright-core');
  const browser = await chromium.launch({ executablePath, args: FLAGS });
  const page = await browser.newPage({ viewport: { width: 760, height: 860 } });
  page.setDefaultTimeout(120000);                 // on a busy machine a page that computes answers late
  const problems = [];
  page.on('pageerror', error => problems.push(String(error)));
  page.on('console', message => message.type() === 'error' && problems.push(message.text()));
  page.on('request', request => request.url().startsWith(address) || request.url().startsWith('data:') || problems.push(request.url()));
  await page.goto(address);
  return { browser, page, problems };
}

// Centre of ink (x, y) of the picture on a canvas, in shares of its size.
export function centre(page, selector) {
  return page.evaluate(selector => {
    const canvas = document.querySelector(selector), { width, height } = canvas;
    const data = canvas.getContext('2d').getImageData(0, 0, width, height).data;
    let ink = 0, x = 0, y = 0;
    for (let i = 0; i < width * height; i++) {
      ink += data[4 * i];
      x += data[4 * i] * (i % width);
      y += data[4 * i] * Math.floor(i / width);
    }
    return { ink, x: x / ink / width, y: y / ink / height };
  }, selector);
}

export const wait = seconds => new Promise(resolve => setTimeout(resolve, 1000 * seconds));
