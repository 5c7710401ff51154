#include "sim/scheduler/trace.h"

namespace raftkv::sim {

void Trace::PutSlowly(absl::string_view bytes) {
  Fold();
  if (bytes.size() > kRoom) return digest_.Add(bytes);
  Put(bytes);
}

void Trace::Fold() const {
  if (size_ == 0) return;
  digest_.Add({room_.data(), size_});
  size_ = 0;
}

}  // namespace raftkv::sim
