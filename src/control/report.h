// Reports: a statistics snapshot as text for people, as JSON, and as XML for malloc_info(3).
//
// Labels and order of the summary are those that scripts around published Mesh read; do not change
// them. All text goes out in lines below LineWriter::kCapacity; nothing is allocated.
// Room: control. Thread rule: pure functions over a snapshot; the sink is the caller's.
#pragma once

#include "src/control/statistics.h"
#include "src/control/text_sink.h"

namespace mesh {

// The seven lines of MALLOCSTATS=1, from "MESH COUNT:" to "MH High Water Mark:".
void WriteSummary(const Statistics& statistics, const TextSink& sink);

// MALLOCSTATS=2: the summary, our own figures, and a line for each size class in use.
void WriteDetails(const Statistics& statistics, const TextSink& sink);

// What malloc_stats(3) prints.
void WriteMallocStats(const Statistics& statistics, const TextSink& sink);

// One JSON object: every row of statistics.def under its name, "physical_bytes", "page_bytes",
// "barrier_tier", "pauses", and "classes" by rising size.
void WriteJson(const Statistics& statistics, const TextSink& sink);

// What malloc_info(3) prints: glibc's elements, version 1.
void WriteMallocInfo(const Statistics& statistics, const TextSink& sink);

// One line about the arena, for mallctl's "arena.text"; without a line end.
void DescribeArena(const Statistics& statistics, LineWriter* out);

}  // namespace mesh
