// page.html, page.css and page.js as they were when the program was built (embed.cmake).
#pragma once

#include "absl/strings/string_view.h"

namespace raftkv::sim {

absl::string_view PageHtml();
absl::string_view PageCss();
absl::string_view PageJs();

}  // namespace raftkv::sim
