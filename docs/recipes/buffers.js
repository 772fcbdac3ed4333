// Strings and objects on V8's own heap, and buffers of malloc, of which every fourth is kept.
const kept = [];
for (let i = 0; i < 200000; i++) {
  const record = { id: i, text: "name " + i, data: Buffer.allocUnsafeSlow(200 + (i % 7) * 40) };
  if (i % 4 === 0) kept.push(record);
}
if (global.gc) global.gc();
setTimeout(() => console.log(kept.length), 1500);
