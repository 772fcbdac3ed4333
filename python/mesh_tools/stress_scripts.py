"""Workloads of `mesh stress` in languages with a run-time of their own.

Each takes the number of objects that it makes in all and a seed, keeps every tenth of a round's
objects, naps, so that a compacting allocator can work, and compares what is left with what it was
made from. Each prints one JSON object: checked, wrong.
"""

PYTHON = """
import json, random, sys, time
total, seed = int(sys.argv[1]), int(sys.argv[2])
rng = random.Random(seed)
kept = []
checked = wrong = 0
for part in range(10):
    made = [(n, f"{n} {part}" * (1 + n % 37)) for n in range(total // 10)]
    rng.shuffle(made)
    kept += made[::10]
    del made
    for _ in range(10):
        time.sleep(0.005)
    if len(kept) > total // 20:
        del kept[:: 2]
    for n, text in kept:
        start = f"{n} "
        unit = len(text) // (1 + n % 37)
        checked += 1
        wrong += not text.startswith(start) or text != text[:unit] * (1 + n % 37)
print(json.dumps({"checked": checked, "wrong": wrong}))
"""

RUBY = """
total, seed = ARGV.map(&:to_i)
rng = Random.new(seed)
kept = []
checked = wrong = 0
10.times do |part|
  made = Array.new(total / 10) { |n| [n, "#{n} #{part} " * (1 + n % 37)] }
  made.shuffle!(random: rng)
  kept += made.each_slice(10).map(&:first)
  made = nil
  GC.start
  10.times { sleep 0.005 }
  kept = kept.each_slice(2).map(&:first) if kept.size > total / 20
  kept.each do |n, text|
    checked += 1
    unit = text.size / (1 + n % 37)
    wrong += 1 unless text.start_with?("#{n} ") && text == text[0, unit] * (1 + n % 37)
  end
end
puts %({"checked": #{checked}, "wrong": #{wrong}})
"""
