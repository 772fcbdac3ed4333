// See check.h.
#include "src/base/check.h"

#include <atomic>
#include <cstdint>
#include <cstdlib>

#include "src/base/writer.h"

namespace mesh {

namespace {

constinit std::atomic<ComplaintHandler*> complaint_handler{nullptr};

[[noreturn]] void Complain(const char* message, LineWriter* line) {
  // order: acquire; pairs with the release in SetComplaintHandler(). What it needs is visible.
  ComplaintHandler* handler = complaint_handler.load(std::memory_order_acquire);
  if (handler != nullptr) {
    line->Text(std::string_view("\0", 1));
    handler(message, line->view().data());
  } else {
    line->FlushTo(2);
  }
  abort();
}

}  // namespace

void SetComplaintHandler(ComplaintHandler* handler) {
  // order: release; pairs with the acquire in Complain().
  complaint_handler.store(handler, std::memory_order_release);
}

void Fatal(const char* message) {
  LineWriter line;
  line.Text("mesh: ").Text(message).Text("\n");
  Complain(message, &line);
}

void FatalAt(const char* message, const void* address) {
  LineWriter line;
  line.Text("mesh: ").Text(message).Text(": ").Hex(reinterpret_cast<uintptr_t>(address)).Text("\n");
  Complain(message, &line);
}

}  // namespace mesh
