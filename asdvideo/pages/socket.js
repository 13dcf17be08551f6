// The students run in a Python process on this machine; see asdvideo.live.
export const choices = await (await fetch('choices')).json();

const socket = new WebSocket(`ws://${location.host}/socket`);
const open = new Promise((resolve, reject) => {
  socket.onopen = resolve;
  socket.onclose = () => reject(closed());
});
let waiting = null;                               // the question that was not answered yet

const closed = () => new Error('The server has closed. Start it again, then reload this page.');
const bytes = text => Uint8Array.from(atob(text), letter => letter.charCodeAt(0));

export async function answer(wish) {
  await open;
  if (socket.readyState !== WebSocket.OPEN) throw closed();
  return new Promise((resolve, reject) => {
    waiting = { resolve, reject };
    socket.onclose = () => reject(closed());
    socket.send(JSON.stringify(wish));
  });
}

socket.onmessage = event => {
  const chunk = JSON.parse(event.data);
  if (chunk.error) return waiting.reject(new Error(chunk.error));
  for (const facts of chunk.students) facts.pixels = bytes(facts.pixels);
  waiting.resolve(chunk);
};
