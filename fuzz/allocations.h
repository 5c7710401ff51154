// The largest piece of memory that was asked for, so that a target can hold a decoder to "no more
// than the bytes that are there": a length that hostile bytes claim must not be believed.
//
// A target that uses it is linked with allocations.cc, which replaces the global operator new.
#pragma once

#include <cstddef>

namespace raftkv {

class AllocationWatch {
 public:
  AllocationWatch();  // from here on
  // Bytes of the largest single allocation since.
  size_t largest() const;
};

}  // namespace raftkv
