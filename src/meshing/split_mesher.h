// SplitMesher(S, t): pairs of meshable spans in linear time. PLDI'19 s.3.3, figure 4.
//
// The spans are shuffled and split in halves Sl and Sr. In round i each span of Sl that is still
// free is tried against the span of Sr that lies i further on; meshable ones become a pair and
// leave both halves. With t = k/q, where q is the chance that two spans mesh, and n >= 2k/q spans,
// at least n(1 - e^(-2k))/4 pairs come out with high probability, after at most nk/(2q) tests
// (lemma 5.3).
// Room: meshing; above base. Thread rule: works on the caller's arrays; allocates nothing.
#pragma once

#include <cstdint>
#include <span>

#include "src/base/bitmap.h"
#include "src/base/random.h"

namespace mesh {

// Probes per span, the t of SplitMesher(S, t). More finds more pairs and takes longer. PLDI'19
// s.3.3.
inline constexpr uint32_t kProbeLimit = 64;

// No partner, no group.
inline constexpr uint32_t kUnmeshed = UINT32_MAX;

// Finds pairs among `spans`.
// Args:    order: scratch, one element a span. partner: out, one element a span: the index of the
//          span it pairs with, or kUnmeshed.
// Returns: pairs found.
// Cost:    at most probes * n / 2 bitmap tests.
uint32_t SplitMesher(std::span<const Bitmap> spans, uint32_t probes, Random& random,
                     std::span<uint32_t> order, std::span<uint32_t> partner);

}  // namespace mesh
