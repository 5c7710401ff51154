// Prints the page of example.h, for a browser to open (tests/cmd/picture_browser_test).
#include <cstdio>

#include "sim/picture/page.h"
#include "tests/sim/picture/example.h"

int main() {
  const std::string page =
      raftkv::sim::WritePage(raftkv::sim::ExampleRecording(), raftkv::sim::ExampleCaption());
  return std::fwrite(page.data(), 1, page.size(), stdout) == page.size() ? 0 : 1;
}
