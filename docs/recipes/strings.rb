# The Ruby experiment of the paper (Powers et al., PLDI 2019, section 6.3): strings of one length, of
# which every fourth is kept; then twice the length, in half the memory.
#
#   ruby strings.rb [MEGABYTES [FIRST_LENGTH [PAUSE_SECONDS]]]
#
# The published program has 128, 512 and 0.2. Each step prints the time (monotonic, s), the bytes of
# strings that nothing has freed yet, and how many strings there have been at once, at most.
megabytes, length, pause = ARGV.map(&:to_f) + [128, 512, 0.2].drop(ARGV.size)
length = length.to_i
room = (megabytes * 1024 * 1024).to_i
$stdout.sync = true
held = 0
most = 0
kept = []

say = lambda do |bytes|
  puts "#{Process.clock_gettime(Process::CLOCK_MONOTONIC)} #{bytes} #{most}"
end

while room >= length
  count = room / length
  # Ruby's own 16 bytes of each are left out, as the paper's program does.
  bytes = length - 16
  most = [most, kept.size + count].max
  say.call(held)
  batch = Array.new(count) { |i| (97 + i % 26).chr * bytes }
  say.call(held + count * bytes)
  kept.concat(batch.select.with_index { |_, i| i % 4 == 0 })
  batch = nil
  sleep pause
  say.call(held + count * bytes)
  held += (count + 3) / 4 * bytes
  GC.start
  say.call(held)
  room -= count * length / 2
  length *= 2
end
sleep pause
GC.start
abort "a string has changed" unless kept.all? { |text| text.count(text[0]) == text.size }
