// The student runs in this page; see asdvideo.export. student.json says how it was made, student.onnx is one pass over one chunk.
import * as ort from './ort.wasm.bundle.min.mjs';

ort.env.wasm.numThreads = 1;                      // more threads need headers that a plain file server does not send
const facts = await (await fetch('student.json')).json();
const session = await ort.InferenceSession.create('student.onnx');
const { chunk, size, depth, heads, pairs } = facts;
const side = size / facts.patch, tokens = chunk * side * side, rows = depth * 2 * heads, row = tokens * pairs * 2;

export const choices = { students: [facts.name], directions: ['free', ...facts.directions], steps: facts.steps };

let seed = null, random, past, frames;

function begin(wish) {
  seed = wish.seed;
  random = numbers(seed);
  past = [];                                      // keys and values of each chunk that can be seen, as one long array
  frames = 0;
}

// Random numbers in [0, 1) that depend on a seed (mulberry32), and normal ones from them (Box and Muller).
function numbers(seed) {
  return () => {
    seed = (seed + 0x6D2B79F5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), seed | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

function noise() {
  return Float32Array.from({ length: chunk * size * size },
    () => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random()));
}

// Cosines and sines of the angles of every token; the angles are computed in double precision, so they are exact at any time.
function rotary() {
  const perAxis = [pairs - 2 * Math.floor(pairs / 3), Math.floor(pairs / 3), Math.floor(pairs / 3)], angles = [];
  for (let f = 0; f < chunk; f++)
    for (let y = 0; y < side; y++)
      for (let x = 0; x < side; x++)
        [frames + f, y, x].forEach((place, axis) => {
          for (let i = 0; i < perAxis[axis]; i++) angles.push(place * 10000 ** (-i / perAxis[axis]));
        });
  return [Math.cos, Math.sin].map(f => new ort.Tensor('float32', Float32Array.from(angles, f), [tokens, pairs]));
}

// All past chunks in one tensor, (depth, 2, 1, heads, tokens, 2 * pairs).
function joined() {
  const all = new Float32Array(past.length * rows * row);
  for (let r = 0; r < rows; r++)
    past.forEach((own, i) => all.set(own.subarray(r * row, (r + 1) * row), (r * past.length + i) * row));
  return new ort.Tensor('float32', all, [depth, 2, 1, heads, past.length * tokens, 2 * pairs]);
}

function pass(xt, sigma, context) {
  return session.run({
    ...context,
    xt: new ort.Tensor('float32', xt, [1, chunk, 1, size, size]),
    sigma: new ort.Tensor('float32', new Float32Array(chunk).fill(sigma), [1, chunk]),
  });
}

export async function answer(wish) {
  if (wish.seed !== seed) begin(wish);
  const start = performance.now();
  const labels = Int32Array.from({ length: 2 * chunk }, (_, i) => i % 2 ? facts.directions.indexOf(wish.direction) : wish.digit);
  const [cos, sin] = rotary(), context = { labels: new ort.Tensor('int32', labels, [1, chunk, 2]), past: joined(), cos, sin };
  const levels = wish.steps.endsWith('*') && frames === 0 ? facts.first : facts.levels[wish.steps];
  let x0;
  for (const level of levels) {
    const eps = noise(), xt = x0 ? eps.map((e, i) => (1 - level) * x0[i] + level * e) : eps;
    x0 = (await pass(xt, level, context)).x0.data;
  }
  past.push((await pass(x0, 0, context)).own.data);
  if (past.length > facts.kept) past.splice(facts.sink, 1);
  frames += chunk;
  const pixels = Uint8Array.from(x0, x => Math.round(127.5 * (Math.min(1, Math.max(-1, x)) + 1)));
  const seconds = (performance.now() - start) / 1000;
  return { seed, frames: chunk, height: size, width: size, students: [{ name: facts.name, seconds, passes: levels.length, pixels }] };
}
