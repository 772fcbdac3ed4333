# The paper's experiment with Ruby (PLDI 2019, section 6.3), shortened: strings of one length, a
# quarter is kept, then the next length. It ends idle, as a server does between requests.
kept = []
length = 64
while length <= 2048
  batch = Array.new(24_000_000 / length) { |i| (i % 256).chr * length }
  kept.concat(batch.select.with_index { |_, i| i % 4 == 0 })
  batch = nil
  GC.start
  length *= 2
end
30.times { sleep 0.05 }
puts kept.size
