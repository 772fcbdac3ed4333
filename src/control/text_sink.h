// TextSink: where a report goes, handed in by the caller.
//
// Room: control. Thread rule: that of the function behind it.
#pragma once

#include <string_view>

#include "src/base/writer.h"

namespace mesh {

struct TextSink {
  void (*write)(void* context, std::string_view text);
  void* context;

  // Hands over the line and clears it.
  void Put(LineWriter* line) const {
    write(context, line->view());
    line->Clear();
  }
};

// Writes to a descriptor; text that it refuses is lost. `*descriptor` must outlive the sink.
TextSink DescriptorSink(const int* descriptor);

}  // namespace mesh
