"""perl, ruby and node: interpreters with heaps of their own on top of malloc."""

import pathlib

from . import harness

_PERL = r"""
use strict; use warnings;
my (%words, @lists); my $x = 7;
sub next_number { $x = ($x * 1103515245 + 12345) & 0x7fffffff; return $x; }
for my $i (1 .. 150_000) {
  my $w = "w" . (next_number() % 20_000);
  $words{$w} .= "," . $i;
  push @{$lists[$i % 500]}, $w;
  delete $words{"w" . (next_number() % 20_000)} if $i % 3 == 0;
}
my $text = join " ", map { "$_=$words{$_}" } sort keys %words;
(my $changed = $text) =~ s/(\d+),(\d+)/$2;$1/g;
print length($text), " ", unpack("%32C*", $changed), " ", scalar(@lists), "\n";
print join(",", (sort { $a cmp $b } @{$lists[3]})[0 .. 20]), "\n";
for my $n (1 .. 5) {
  my $pid = fork();
  if (!$pid) {
    my %copy = map { $_ => "$words{$_}$n" } keys %words;
    exit(scalar(keys %copy) % 100);
  }
  waitpid($pid, 0); print "child ", $? >> 8, "\n";
}
print join("|", map { sprintf "%s", `echo $_` =~ s/\n//r } 1 .. 5), "\n";
"""

_RUBY = r"""
require 'json'
require 'set'
x = 7
number = -> { x = (x * 1103515245 + 12345) & 0x7fffffff }
table = Hash.new { |hash, key| hash[key] = [] }
100_000.times { |i| table["k#{number.call % 5000}"] << "value #{i} " * (number.call % 4) }
table.delete_if { |key, _| key.hash && key[1..].to_i % 3 == 0 }
text = JSON.generate(table.sort.to_h)
puts text.length, text.sum, JSON.parse(text) == table
GC.start
GC.compact if GC.respond_to?(:compact)
count = ->(n) { (1..2000).map { |i| ("%d-%d" % [n, i]) * 5 }.to_set.size }
workers = 8.times.map { |n| Thread.new { count.call(n) } }
p workers.map(&:value)
reader, writer = IO.pipe
if fork.nil?
  writer.write(table.values.flatten.map(&:length).sum.to_s)
  exit!(0)
end
Process.wait
writer.close
puts reader.read, $?.exitstatus
"""

_NODE = r"""
const crypto = require('crypto'), zlib = require('zlib');
const {Worker, isMainThread, parentPort} = require('worker_threads');
let x = 7;
const number = () => (x = (Math.imul(x, 1103515245) + 12345) & 0x7fffffff);
function work() {
  const buffers = [];
  for (let i = 0; i < 40000; ++i) {
    buffers[number() % 2000] = Buffer.alloc(1 + number() % 3000, 'ab' + i);
  }
  const all = Buffer.concat(buffers.filter(Boolean));
  const packed = zlib.deflateSync(all);
  if (!zlib.inflateSync(packed).equals(all)) throw new Error('inflate');
  return crypto.createHash('sha256').update(all).digest('hex') + ' ' + packed.length;
}
if (!isMainThread) {
  parentPort.postMessage(work());
} else {
  console.log(work());
  const values = new Map();
  for (let i = 0; i < 200000; ++i) {
    values.set('k' + number() % 50000, {i, text: 'v'.repeat(i % 40)});
  }
  console.log(JSON.stringify([...values].sort().slice(0, 20)));
  const workers = [1, 2, 3].map(() => new Promise((done, fail) => {
    const worker = new Worker(__filename);
    worker.on('message', done); worker.on('error', fail);
  }));
  Promise.all(workers).then((results) => console.log(results.join('\n')));
}
"""


def test_perl(root: pathlib.Path, repeats: int) -> None:
    """Hashes, strings, regular expressions, fork."""
    perl = harness.program("perl")

    def scenario(sandbox: harness.Sandbox) -> None:
        # Perl's hash order is random by intent.
        sandbox.run(perl, sandbox.write("a.pl", _PERL), extra={"PERL_HASH_SEED": "0"})

    harness.expect_same(scenario, root, repeats)


def test_ruby(root: pathlib.Path, repeats: int) -> None:
    """Hashes, JSON, threads, compacting collector, fork."""
    ruby = harness.program("ruby")
    harness.expect_same(lambda box: _run_file(box, ruby, "a.rb", _RUBY), root, repeats)


def test_node(root: pathlib.Path, repeats: int) -> None:
    """Buffers outside the JavaScript heap, zlib, worker threads."""
    node = harness.program("node")
    harness.expect_same(lambda box: _run_file(box, node, "a.js", _NODE), root, repeats)


def _run_file(sandbox: harness.Sandbox, interpreter: str, name: str, text: str) -> None:
    sandbox.run(interpreter, sandbox.write(name, text))
