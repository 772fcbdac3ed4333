// See split_mesher.h.
#include "src/meshing/split_mesher.h"

#include "src/base/check.h"

namespace mesh {

uint32_t SplitMesher(std::span<const Bitmap> spans, uint32_t probes, Random& random,
                     std::span<uint32_t> order, std::span<uint32_t> partner) {
  uint32_t count = static_cast<uint32_t>(spans.size());
  MESH_DCHECK(order.size() >= count && partner.size() >= count);
  for (uint32_t i = 0; i < count; i++) {
    partner[i] = kUnmeshed;
    uint32_t other = random.Below(i + 1);
    order[i] = order[other];
    order[other] = i;
  }
  uint32_t half = count / 2;
  uint32_t pairs = 0;
  for (uint32_t round = 0; round < probes && round < half; round++) {
    for (uint32_t i = 0; i < half; i++) {
      uint32_t left = order[i];
      uint32_t right = order[half + (i + round) % half];
      if (partner[left] != kUnmeshed || partner[right] != kUnmeshed) continue;
      if (spans[left].Overlaps(spans[right])) continue;
      partner[left] = right;
      partner[right] = left;
      pairs++;
    }
  }
  return pairs;
}

}  // namespace mesh
